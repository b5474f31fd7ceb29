// Where CryptoKit is absent (Linux), the vectors are run with this SHA-256 (FIPS 180-4). It is no part of the package.
import Foundation

func sha256(_ content: Data) -> String {
    let bits = UInt64(content.count) * 8
    var message = [UInt8](content) + [0x80]
    message += [UInt8](repeating: 0, count: (120 - message.count % 64) % 64)
    message += (0..<8).reversed().map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
    let primes = firstPrimes(64)
    let constants = primes.map { fraction(cbrt(Double($0))) }
    var hash = primes.prefix(8).map { fraction(Double($0).squareRoot()) }
    for block in stride(from: 0, to: message.count, by: 64) {
        var w = (0..<16).map { word in message[(block + 4 * word)..<(block + 4 * word + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
        for t in 16..<64 {
            let a = turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ (w[t - 15] >> 3)
            let b = turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ (w[t - 2] >> 10)
            w.append(w[t - 16] &+ a &+ w[t - 7] &+ b)
        }
        var s = hash
        for t in 0..<64 {
            let choice = (s[4] & s[5]) ^ (~s[4] & s[6])
            let most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2])
            let one = s[7] &+ (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) &+ choice &+ constants[t] &+ w[t]
            let two = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) &+ most
            s = [one &+ two, s[0], s[1], s[2], s[3] &+ one, s[4], s[5], s[6]]
        }
        hash = zip(hash, s).map { $0 &+ $1 }
    }
    return hash.map { String(format: "%08x", $0) }.joined()
}

private func turn(_ value: UInt32, _ bits: UInt32) -> UInt32 { value >> bits | value << (32 - bits) }

/// The first 32 bits behind the point.
private func fraction(_ value: Double) -> UInt32 { UInt32((value - value.rounded(.down)) * 4_294_967_296) }

private func firstPrimes(_ count: Int) -> [Int] {
    var found: [Int] = []
    var next = 2
    while found.count < count {
        if found.allSatisfy({ next % $0 != 0 }) { found.append(next) }
        next += 1
    }
    return found
}
