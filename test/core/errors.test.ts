import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorData } from '#core/errors.ts'

test('a full disk is told as one, with what to do; what else is thrown is a defect', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const thrown = Object.assign(new Error(`${code}: no space left on device, write`), { code })
    assert.equal(errorData(thrown).code, 'disk-full')
    assert.match(errorData(thrown).remedy, /make room/)
  }
  assert.equal(errorData(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })).code, 'internal')
  assert.equal(errorData('thrown').code, 'internal')
})
