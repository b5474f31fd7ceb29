import Foundation
#if canImport(Edgeskel)
@testable import Edgeskel
#endif

/// Holds this package against golden vectors that `edgeskel.runtime` computed (python -m tests.targets.vectors).
enum Vectors {
    struct Differs: Error, CustomStringConvertible {
        let description: String
    }

    /// How many comparisons were made. Throws `Differs` at the first that does not agree.
    static func run(_ text: String) throws -> Int {
        let all = try Json.read(text)
        var count = 0
        for item in all["resampler"]!.items { count += try resampler(item) }
        for item in all["ring"]!.items { count += try ring(item) }
        for item in all["session"]!.items { count += try session(item) }
        for item in all["manifest"]!.items { count += try manifest(item) }
        for item in all["file"]!.items { count += try file(item) }
        return count
    }

    private static func resampler(_ item: Json) throws -> Int {
        var resampler = Resampler(rateHz: item["rate_hz"]!.double, persons: item["persons"]!.int, joints: item["joints"]!.int)
        var count = 0
        for (push, expected) in zip(item["frames"]!.items, item["settled"]!.items) {
            let settled = resampler.push(push.frame, replaced: push["replaced"]!.bools)
            try same("number of settled frames", expected.items.count, settled.count)
            for (want, seen) in zip(expected.items, settled) {
                try same("time", want["time"]!.double, seen.time)
                try same("joints", want["joints"]!.floats, seen.joints)
                try same("confidence", want["confidence"]!.floats, seen.confidence)
                count += 1
            }
        }
        return count
    }

    private static func ring(_ item: Json) throws -> Int {
        var ring = Ring(persons: item["persons"]!.int, frames: item["frames"]!.int, joints: item["joints"]!.int)
        for step in item["steps"]!.items {
            if case .number = step["forget"]! { ring.forget(step["forget"]!.int) }
            ring.push(step["push"]!.frame)
            let window = ring.window()
            try same("joints of the window", step["joints"]!.floats, window.joints)
            try same("confidence of the window", step["confidence"]!.floats, window.confidence)
        }
        return item["steps"]!.items.count
    }

    private static func session(_ item: Json) throws -> Int {
        let manifest = try Manifest(item["manifest"]!.string!)
        let thresholds = try Thresholds(probability: Float(item["threshold"]!.double), smoothing: Float(item["smoothing"]!.double))
        let recogniser = Recogniser(manifest, Shares(classes: manifest.labels.count, joints: manifest.joints.count), thresholds)
        for step in item["steps"]!.items {
            let seen: Recognition?
            do {
                seen = try recogniser.push(step["frame"]!.frame, replaced: step["replaced"]!.bools)
            } catch is BadInput {
                try same("a refusal", true, step["refused"] != nil)
                continue
            }
            try same("no refusal", false, step["refused"] != nil)
            let expected = step["recognition"]!
            if case .null = expected {
                try same("a recognition at \(step["frame"]!.frame.time)", true, seen == nil)
                continue
            }
            guard let seen else { throw Differs(description: "no recognition at \(step["frame"]!.frame.time)") }
            try same("label", expected["label"]!.string, seen.label)
            try same("time", expected["time"]!.double, seen.time)
            try near("probabilities", expected["probabilities"]!.floats, seen.probabilities)
            try near("embedding", expected["embedding"]!.floats, seen.embedding)
        }
        return item["steps"]!.items.count
    }

    private static func manifest(_ item: Json) throws -> Int {
        let seen = try? Manifest(item["text"]!.string!)
        try same("whether the manifest is taken (\(item["what"]!.string!))", item["taken"]!.bool, seen != nil)
        if let seen, let labels = item["labels"] {
            try same("labels", labels.items.map { Array($0.string!.unicodeScalars) }, seen.labels.map { Array($0.unicodeScalars) })
            try same("hop", item["hop"]!.int, seen.window.hop)
            try same("artifact", item["artifact"]!.string, try seen.artifact().file)
        }
        return 1
    }

    private static func file(_ item: Json) throws -> Int {
        let manifest = try Manifest(item["manifest"]!.string!)
        let taken = (try? manifest.check(item["name"]!.string!, Data(item["content"]!.string!.utf8))) != nil
        try same("whether the file is taken (\(item["name"]!.string!))", item["taken"]!.bool, taken)
        return 1
    }

    static func same<T: Equatable>(_ what: String, _ expected: T, _ seen: T) throws {
        if expected != seen { throw Differs(description: "\(what): expected \(expected), seen \(seen)") }
    }

    static func near(_ what: String, _ expected: [Float], _ seen: [Float]) throws {
        if expected.count != seen.count || zip(expected, seen).contains(where: { abs($0 - $1) > 1e-6 }) {
            throw Differs(description: "\(what): expected \(expected), seen \(seen)")
        }
    }
}

/// A network whose answer a test can compute: class k is seen as much as joint k.
private struct Shares: Network {
    let classes: Int
    let joints: Int

    func run(_ input: Input) throws -> Output {
        var shares = [Double](repeating: 0, count: classes)
        for (index, trust) in input.confidence.enumerated() where index % joints < classes {
            shares[index % joints] += Double(trust)
        }
        let total = shares.reduce(0, +)
        let middle = input.joints.reduce(0) { $0 + Double($1) } / Double(input.joints.count)
        return Output(probabilities: shares.map { Float($0 / total) }, embedding: [Float(middle)])
    }
}

extension Json {
    var items: [Json] { if case .list(let items) = self { return items } else { return [] } }
    var string: String? { if case .text(let text) = self { return text } else { return nil } }
    var bool: Bool { if case .bool(let value) = self { return value } else { return false } }
    var double: Double { if case .number(let digits) = self { return Double(digits)! } else { return .nan } }
    var int: Int { Int(double) }
    var floats: [Float] { items.map { Float($0.double) } } // null, a missing joint's value, becomes NaN
    var bools: [Bool]? { if case .list(let items) = self { return items.map(\.bool) } else { return nil } }
    var frame: Frame { Frame(time: self["time"]!.double, joints: self["joints"]!.floats, confidence: self["confidence"]!.floats) }
}
