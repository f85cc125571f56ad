/** The first root file system of one machine: the image's archive and the entity's, one after the other. */
import { createReadStream, createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { ViolinError } from '#core/errors.ts'

/**
 * Writes `target` from the image `tiny` under `images` and the entity's archive; a copy, because the kernel
 * takes one file. Throws ViolinError `boot-failed` when the image is not there.
 */
export async function writeInitrd(images: string, archive: Uint8Array, target: string): Promise<void> {
  const packed = await promisify(gzip)(archive)
  const image = join(images, 'tiny', 'initrd.img')
  try {
    await pipeline(createReadStream(image), createWriteStream(target, { mode: 0o600 }), { end: false })
  } catch (error: unknown) {
    throw new ViolinError('boot-failed', `the image ${image} cannot be read`, 'run `violin doctor`', {
      cause: error
    })
  }
  await pipeline([packed], createWriteStream(target, { flags: 'a' }))
}
