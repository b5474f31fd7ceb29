import CryptoKit
import Foundation

/// SHA-256 as hexadecimal.
func sha256(_ content: Data) -> String {
    SHA256.hash(data: content).map { String(format: "%02x", $0) }.joined()
}
