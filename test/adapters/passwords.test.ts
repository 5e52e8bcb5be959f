/** Password hashes of ours and of others, hostile ones, and what happens under load. */
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { hash as argon2 } from '@node-rs/argon2'
import { expect } from 'chai'
import { createPasswords, isKnownHash, Overloaded } from '../../adapters/passwords.ts'

const right = 'correct horse'

// Made with Python's hashlib and crypt, not with what is tested here.
const foreign: Record<string, string> = {
  'PBKDF2 in PHC form': '$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M',
  "PBKDF2 in passlib's form":
    '$pbkdf2-sha512$1000$MDEyMzQ1Njc4OWFiY2RlZg$OM0FAoIqCVK1sWtxDiffVlBejtLa.ks4TP71JiecwuSZCG8iLbnlIEPOMoVX.i2B2wkSxjQ8CRGR9OkNGuIPMQ',
  "PBKDF2 in Django's form": 'pbkdf2_sha256$1000$saltysalt$ogyELkenhssjo9YzB+hLx2dedTg0guGJUM+KVU08H9I=',
  scrypt: '$scrypt$ln=12,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$/jx4uMnBLEcnyBJyK5rKAfmnFbwMBoBPE5YY+OEpHOo',
  'bcrypt 2b': '$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC',
  'bcrypt 2a': '$2a$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC',
  'bcrypt 2y': '$2y$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC',
}
const salt = 'MDEyMzQ1Njc4OWFiY2RlZg'
const key = 'cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M'

describe('passwords', function () {
  this.timeout(20_000)
  const passwords = createPasswords()

  it('hashes by argon2id with the parameters of the decision, salted', async () => {
    const [a, b] = await Promise.all([passwords.hash(right), passwords.hash(right)])
    expect(a).to.match(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    expect(a).to.not.equal(b)
    expect(await passwords.verify(a, right)).to.deep.equal({ ok: true, rehash: false })
    expect(await passwords.verify(a, 'wrong')).to.deep.equal({ ok: false, rehash: false })
    expect(await passwords.verify(a, '')).to.deep.equal({ ok: false, rehash: false })
  })

  for (const [name, hash] of Object.entries(foreign)) {
    it(`knows ${name} and asks for a new hash only if the password is right`, async () => {
      expect(isKnownHash(hash)).to.equal(true)
      expect(await passwords.verify(hash, right)).to.deep.equal({ ok: true, rehash: true })
      expect(await passwords.verify(hash, 'wrong')).to.deep.equal({ ok: false, rehash: false })
    })
  }

  for (const [name, algorithm] of [
    ['d', 0],
    ['i', 1],
    ['id', 2],
  ] as const) {
    it(`knows argon2${name} with other parameters`, async () => {
      const hash = await argon2(right, { algorithm, memoryCost: 8192, timeCost: 3, parallelism: 2 })
      expect(await passwords.verify(hash, right)).to.deep.equal({ ok: true, rehash: true })
      expect(await passwords.verify(hash, 'wrong')).to.deep.equal({ ok: false, rehash: false })
    })
  }

  it('takes no malformed hash for right, and never throws', async () => {
    const { verify } = createPasswords({ concurrency: 2, queue: 1000 })
    const whole = await passwords.hash(right)
    const broken = [
      '',
      'x',
      '$',
      '$argon2id$',
      right,
      '!',
      '*',
      '$2b$10$short',
      `${whole}\n`,
      whole.replace('v=19', 'v=99'),
    ]
    const cut = Array.from({ length: whole.length }, (_, i) => whole.slice(0, i)).filter((_, i) => i % 7 === 0)
    const bits = [`$argon2id$v=19$m=19456,t=2,p=1$${salt.slice(0, -1)}h$${key}`, `${foreign['bcrypt 2b']}x`]
    for (const hash of [...broken, ...cut, ...bits]) {
      expect(await verify(hash, right), hash).to.deep.equal({ ok: false, rehash: false })
    }
  })

  it('does not compute hashes that cost too much', async () => {
    const hostile = [
      `$argon2id$v=19$m=4194304,t=2,p=1$${salt}$${key}`,
      `$argon2id$v=19$m=65536,t=999,p=1$${salt}$${key}`,
      `$argon2id$v=19$m=131072,t=9,p=1$${salt}$${key}`,
      `$scrypt$ln=30,r=8,p=1$${salt}$${key}`,
      `$scrypt$ln=14,r=8,p=999$${salt}$${key}`,
      `$scrypt$ln=1,r=999,p=999$${salt}$${key}`,
      `$pbkdf2-sha256$i=99999999,l=32$${salt}$${key}`,
      `pbkdf2_sha256$99999999$salt$${key}=`,
      `$2b$31$${'a'.repeat(53)}`,
    ]
    for (const hash of hostile) {
      expect(isKnownHash(hash), hash).to.equal(false)
      const since = performance.now()
      expect(await passwords.verify(hash, right)).to.deep.equal({ ok: false, rehash: false })
      expect(performance.now() - since).to.be.below(400)
    }
  })

  it('takes as long for nobody as for somebody', async () => {
    const { verify, dummy, hash } = createPasswords({ concurrency: 1 })
    const known = await hash(right)
    const ways = [() => verify(known, 'wrong'), () => dummy('wrong'), () => verify('no hash', 'wrong')]
    await dummy('x')
    // In turns, so that whatever else the machine does meets all of them.
    const times = ways.map((): number[] => [])
    for (let i = 0; i < 15; i++)
      for (const [way, work] of ways.entries()) {
        const since = performance.now()
        await work()
        times[way]!.push(performance.now() - since)
      }
    const [somebody, nobody, noHash] = times.map((all) => all.sort((a, b) => a - b)[7]!)
    expect(nobody).to.be.within(somebody! * 0.6, somebody! * 1.6)
    expect(noHash).to.be.within(somebody! * 0.6, somebody! * 1.6)
  })

  it('refuses at once when the queue is full, and serves again afterwards', async () => {
    const { hash, load } = createPasswords({ concurrency: 1, queue: 3 })
    const four = Array.from({ length: 4 }, () => hash(right))
    expect(load()).to.deep.equal({ running: 1, queued: 3 })
    const since = performance.now()
    const refusal = await hash(right).catch((e) => e)
    expect(performance.now() - since).to.be.below(20)
    expect(refusal).to.be.instanceOf(Overloaded)
    expect(refusal.retryAfter).to.be.within(1, 60)
    await Promise.all(four)
    expect(load()).to.deep.equal({ running: 0, queued: 0 })
    expect(await hash(right)).to.contain('$argon2id$')
  })

  it('leaves the event loop and file access alive under load, also with bcrypt', async () => {
    const { hash, verify } = createPasswords({ queue: 500 })
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const costly = '$2b$12$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC'
    const work = Promise.all([
      ...Array.from({ length: 60 }, () => hash(right)),
      verify(costly, right),
      verify(costly, right),
    ])
    let over = false
    void work.then(() => (over = true))
    const waits = []
    while (!over) {
      const since = performance.now()
      await stat('/')
      waits.push(performance.now() - since)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    delay.disable()
    expect(delay.percentile(95) / 1e6).to.be.below(50)
    expect(waits.sort((a, b) => a - b)[Math.floor(waits.length * 0.95)]).to.be.below(50)
  })

  it('has the decision written down with the parameters that are used', () => {
    const record = readFileSync(new URL('../../docs/decisions/0003-argon2-library.md', import.meta.url), 'utf8')
    expect(record).to.contain('m=19456').and.to.contain('@node-rs/argon2')
  })
})
