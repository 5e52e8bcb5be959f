import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { expect } from 'chai'
import { toDer, toJws } from '../../server/oidc/ecdsa.ts'

describe('ECDSA signatures', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  it('go from DER to JWS and back as OpenSSL would do it', () => {
    const jws = { key: publicKey, dsaEncoding: 'ieee-p1363' as const }
    for (let i = 0; i < 2000; i += 1) {
      const data = randomBytes(40)
      const der = sign('sha256', data, privateKey)
      expect(verify('sha256', data, jws, toJws(der))).to.equal(true)
      expect(toDer(toJws(der))!.equals(der)).to.equal(true)
    }
  })

  it('keep numbers with leading zeros whole', () => {
    const odd = Buffer.concat([Buffer.alloc(31), Buffer.from([1]), Buffer.alloc(30), Buffer.from([0x80, 0])])
    expect(toDer(odd)!.toString('hex')).to.equal('3008020101020300' + '8000')
    expect(toJws(toDer(odd)!).equals(odd)).to.equal(true)
    expect(toDer(Buffer.alloc(63))).to.equal(undefined)
    expect(toDer(Buffer.alloc(64))!.toString('hex')).to.equal('3006020100020100')
  })
})
