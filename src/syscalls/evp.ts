/**
 * AES-128-GCM on contexts that are keyed once (OpenSSL's EVP, EVP_EncryptInit(3)); the symbols are those of
 * the OpenSSL inside Node. All places are addresses of native memory; sealing and opening in place is fine.
 */
import { allocate, libc } from './libc.ts'

/** Bytes of the authentication tag. */
export const tagBytes = 16

const EVP_CTRL_AEAD_GET_TAG = 0x10
const EVP_CTRL_AEAD_SET_TAG = 0x11

const newContext = libc.func('uint64_t EVP_CIPHER_CTX_new()')
const freeContext = libc.func('void EVP_CIPHER_CTX_free(uint64_t context)')
const cipher = libc.func('uint64_t EVP_aes_128_gcm()')
const initialise = libc.func(
  'int EVP_CipherInit_ex(uint64_t context, uint64_t type, uint64_t engine, uint64_t key, uint64_t iv, int encrypt)'
)
const update = libc.func(
  'int EVP_CipherUpdate(uint64_t context, uint64_t out, uint64_t outLength, uint64_t input, int length)'
)
const finish = libc.func('int EVP_CipherFinal_ex(uint64_t context, uint64_t out, uint64_t outLength)')
const control = libc.func('int EVP_CIPHER_CTX_ctrl(uint64_t context, int type, int value, uint64_t pointer)')

const scratch = allocate(64)
const outLength = scratch.address
const last = scratch.address + 16

/** One direction of one key. */
export class Gcm {
  #context: number
  readonly #encrypt: number

  /** `key`: 16 bytes. */
  constructor(key: Uint8Array, direction: 'seal' | 'open') {
    if (key.length !== 16) throw new RangeError(`AES-128 key of ${key.length} bytes`)
    this.#encrypt = direction === 'seal' ? 1 : 0
    this.#context = Number(newContext())
    scratch.bytes.set(key, 32)
    const done = initialise(this.#context, cipher(), 0, scratch.address + 32, 0, this.#encrypt) as number
    scratch.bytes.fill(0, 32, 48)
    if (done !== 1) throw new Error('EVP_CipherInit_ex failed')
  }

  /** Seals `length` bytes at `text` in place, writes the tag behind them. `iv` is 12 bytes. */
  seal(iv: number, aad: number, aadLength: number, text: number, length: number): void {
    const context = this.#context
    const ok =
      (initialise(context, 0, 0, 0, iv, 1) as number) &
      (update(context, 0, outLength, aad, aadLength) as number) &
      (update(context, text, outLength, text, length) as number) &
      (finish(context, last, outLength) as number) &
      (control(context, EVP_CTRL_AEAD_GET_TAG, tagBytes, text + length) as number)
    if (ok !== 1) throw new Error('sealing failed')
  }

  /**
   * Opens `length` bytes at `text` in place; the tag lies behind them. False: not authentic, and then the
   * bytes are worthless.
   */
  open(iv: number, aad: number, aadLength: number, text: number, length: number): boolean {
    const context = this.#context
    const ok =
      (initialise(context, 0, 0, 0, iv, 0) as number) &
      (control(context, EVP_CTRL_AEAD_SET_TAG, tagBytes, text + length) as number) &
      (update(context, 0, outLength, aad, aadLength) as number) &
      (update(context, text, outLength, text, length) as number)
    if (ok !== 1) throw new Error('opening failed')
    return (finish(context, last, outLength) as number) === 1
  }

  /** Forgets the key; the object must not be used after. */
  close(): void {
    if (this.#context !== 0) freeContext(this.#context)
    this.#context = 0
  }
}
