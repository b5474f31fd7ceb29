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
        for item in all["naming"]!.items { count += try naming(item) }
        for item in all["session"]!.items {
            count += try session(item) { Recogniser($0, Shares(classes: $0.labels.count, joints: $0.joints.count), $1) }
        }
        for item in all["step"]!.items {
            count += try session(item) { try Recogniser($0, stepping: Traces(joints: $0.joints.count), $1) }
        }
        for item in all["manifest"]!.items { count += try manifest(item) }
        for item in all["choice"]!.items { count += try choice(item) }
        for item in all["unsteppable"]!.items { count += try unsteppable(item) }
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

    private static func naming(_ item: Json) throws -> Int {
        let certainty = Certainty(temperature: item["temperature"]!.double, threshold: item["threshold"]!.double)
        let thresholds = try Thresholds(probability: nil, smoothing: Float(item["smoothing"]!.double))
        var naming = Naming(labels: item["labels"]!.items.map { $0.string! }, certainty: certainty, thresholds: thresholds)
        for step in item["steps"]!.items {
            let seen = naming.push(Output(probabilities: step["answer"]!.floats, embedding: []), 0)
            try same("label at \(certainty.threshold)", step["label"]!.string, seen.label)
            try same("calibrated probabilities", step["probabilities"]!.floats, seen.probabilities)
        }
        return item["steps"]!.items.count
    }

    private static func session(_ item: Json, _ open: (Manifest, Thresholds) throws -> Recogniser) throws -> Int {
        var threshold: Double?
        if case .number = item["threshold"]! { threshold = item["threshold"]!.double }
        let recogniser = try open(Manifest(item["manifest"]!.string!),
                                  Thresholds(probability: threshold, smoothing: Float(item["smoothing"]!.double)))
        for step in item["steps"]!.items {
            let seen: Recognition?
            do {
                seen = try recogniser.push(step["frame"]!.frame, replaced: step["replaced"]!.bools)
            } catch is BadInput {
                try same("a refusal", true, step["refused"] != nil)
                continue
            } catch is BadBundle {
                try same("a broken answer", true, step["broken"] != nil)
                continue
            }
            try same("no refusal", false, step["refused"] != nil || step["broken"] != nil)
            let expected = step["recognition"]!
            if case .null = expected {
                try same("a recognition at \(step["frame"]!.frame.time)", true, seen == nil)
                continue
            }
            guard let seen else { throw Differs(description: "no recognition at \(step["frame"]!.frame.time)") }
            try same("label", expected["label"]!.string, seen.label)
            try same("time", expected["time"]!.double, seen.time)
            try same("probabilities", expected["probabilities"]!.floats, seen.probabilities)
            try same("probability", expected["probabilities"]!.floats.max(), seen.probability)
            try same("embedding", expected["embedding"]!.floats, seen.embedding)
        }
        return item["steps"]!.items.count
    }

    private static func manifest(_ item: Json) throws -> Int {
        var seen: Manifest?
        do {
            seen = try Manifest(item["text"]!.string!)
        } catch let error as BadBundle {
            if let says = item["says"]?.string {
                try same("whether '\(error)' names \(says)", true, error.description.contains(says))
            }
        }
        try same("whether the manifest is taken (\(item["what"]!.string!))", item["taken"]!.bool, seen != nil)
        if let seen, let labels = item["labels"] {
            try same("labels", labels.items.map { Array($0.string!.unicodeScalars) }, seen.labels.map { Array($0.unicodeScalars) })
            try same("hop", item["hop"]!.int, seen.window.hop)
            try same("artifact", item["artifact"]!.string, try seen.artifact().file)
        }
        if let seen, let temperature = item["temperature"] {
            try same("temperature", temperature.double, seen.certainty.temperature)
            try same("threshold", item["threshold"]!.double, seen.certainty.threshold)
        }
        if let seen, let states = item["states"] {
            try same("frames of a step", item["step_frames"]!.int, seen.step?.frames)
            try same("states", states.items.map { $0.items.map(\.int) }, seen.step?.states)
        }
        return 1
    }

    private static func choice(_ item: Json) throws -> Int {
        let manifest = try Manifest(item["manifest"]!.string!)
        let ways: [String: Way] = ["FRAME": .frame, "WINDOW": .window]
        let seen = try? manifest.artifact(item["precision"]!.string, way: item["way"]!.string.flatMap { ways[$0] }).file
        try same("artifact in \(item["precision"]!) by \(item["way"]!)", item["file"]!.string, seen)
        return 1
    }

    private static func unsteppable(_ item: Json) throws -> Int {
        let manifest = try Manifest(item.string!)
        let taken = (try? Recogniser(manifest, stepping: Traces(joints: manifest.joints.count))) != nil
        try same("whether steps are run of a manifest that does not say how", false, taken)
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

/// A step network whose answer a test can compute: the state is a fading trace of each joint's confidence and position. A joint
/// that is very far away spoils it.
private struct Traces: StepNetwork {
    let joints: Int

    func step(_ input: Input, _ state: [[Float]]) throws -> StepOutput {
        var seen = state[0]
        var place = state[1]
        for frame in 0..<input.confidence.count / joints {
            for joint in seen.indices {
                seen[joint] = 0.5 * seen[joint] + input.confidence[frame * joints + joint]
            }
            for index in place.indices {
                place[index] = 0.5 * place[index] + input.joints[frame * joints * 3 + index]
            }
        }
        let spoilt = input.joints.contains { abs($0) >= 1e6 }
        let shares = seen.map { spoilt ? Double.nan : Double($0) + 0.01 }
        let total = shares.reduce(0, +)
        return StepOutput(output: Output(probabilities: shares.map { Float($0 / total) }, embedding: place), state: [seen, place])
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
