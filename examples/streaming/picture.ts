/** A test picture, and ways to look at one. Pictures are rows of RGB, a byte each. */

export const width = 96
export const height = 64
export const bytesPerLine: number = 3 * width

/** Colour bars as on television, a white line that moves on with each picture, and its number below, a square a bit. */
export function testPicture(number: number): Uint8Array {
  const picture = new Uint8Array(height * bytesPerLine)
  const bars = [0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000, 0x0000ff, 0x000000]
  const squares = 16
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const bit = squares - 1 - Math.floor((x * squares) / width)
      const square = (number >> bit) & 1 ? 0xffffff : 0x202020
      const bar = x === number % width ? 0xffffff : (bars[Math.floor((x * bars.length) / width)] as number)
      const colour = y >= (3 * height) / 4 ? square : bar
      picture.set([colour >> 16, (colour >> 8) & 0xff, colour & 0xff], y * bytesPerLine + 3 * x)
    }
  return picture
}

/** As a file that viewers of pictures know (Netpbm's portable pixmap). */
export function ppm(picture: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), picture])
}

/** As text, a character for two by four pixels, brighter ones heavier. */
export function asText(picture: Uint8Array): string {
  const shades = ' .:-=+*#%@'
  let text = ''
  for (let y = 0; y < height; y += 4) {
    for (let x = 0; x < width; x += 2) {
      const [red = 0, green = 0, blue = 0] = picture.subarray(y * bytesPerLine + 3 * x)
      // Luma of ITU-R BT.601.
      const luma = 0.299 * red + 0.587 * green + 0.114 * blue
      text += shades[Math.round((luma / 255) * (shades.length - 1))]
    }
    text += '\n'
  }
  return text
}
