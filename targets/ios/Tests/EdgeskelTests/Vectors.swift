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
    static func run(_ content: Data) throws -> Int {
        let all = try JsonValue.read(content)
        var count = 0
        for item in all["resampler"]!.items { count += try resampler(item) }
        for item in all["naming"]!.items { count += try naming(item) }
        for item in all["manifest"]!.items { count += try manifest(item) }
        for item in all["choice"]!.items { count += try choice(item) }
        for item in all["unsteppable"]!.items { count += try unsteppable(item) }
        for item in all["file"]!.items { count += try file(item) }
        return count
    }

    private static func resampler(_ item: JsonValue) throws -> Int {
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

    private static func naming(_ item: JsonValue) throws -> Int {
        let config = try EventConfig(temperature: item["temperature"]!.double, threshold: item["threshold"]!.double,
                                     begin: item["begin"]!.double, confirm: item["confirm"]!.int, smoothing: item["smoothing"]!.double)
        var naming = ActionLabeller(item["labels"]!.items.map { $0.string! }, config)
        for step in item["steps"]!.items {
            let sure = calibrated(step["answer"]!.floats, config.temperature)
            try same("what it is named", step["named"]!.string, naming.push(sure)?.label)
            try same("label at \(config.threshold)", step["last"]!.string, naming.last(sure).label)
            try same("smoothed probabilities", step["smooth"]!.floats, naming.smooth)
        }
        return item["steps"]!.items.count
    }

    private static func manifest(_ item: JsonValue) throws -> Int {
        var seen: Manifest?
        do {
            seen = try item.manifest
        } catch let error as BadBundle {
            if let says = item["says"]?.string {
                try same("whether '\(error)' names \(says)", true, error.description.contains(says))
            }
        }
        try same("whether the manifest is taken (\(item["what"]!.string!))", item["taken"]!.bool, seen != nil)
        guard let seen else { return 1 }
        if let labels = item["labels"] {
            try same("labels", labels.items.map { Array($0.string!.unicodeScalars) }, seen.labels.map { Array($0.unicodeScalars) })
            try same("hop", item["hop"]!.int, seen.window.hop)
            if let artifact = item["artifact"] { try same("artifact", artifact.string, try seen.artifact().file) }
        }
        if let temperature = item["temperature"] {
            try same("temperature", temperature.double, seen.calibration.temperature)
            try same("threshold", item["threshold"]!.double, try seen.events().threshold)
        }
        if let segmenter = item["segmenter"] {
            let found = try seen.events().segmenter
            try same("segmenter", segmenter.items.map(\.double), [found.start, found.stop, found.stillS, found.longestS,
                                                                       found.shortestS, found.marginS])
        }
        if let states = item["states"] {
            try same("frames of a step", item["step_frames"]!.int, seen.step?.frames)
            try same("states", states.items.map { $0.items.map(\.int) }, seen.step?.states)
        }
        return 1
    }

    private static func choice(_ item: JsonValue) throws -> Int {
        let manifest = try item.manifest
        let modes: [String: Mode] = ["STREAMING": .streaming, "SLIDING_WINDOW": .slidingWindow]
        let seen = try? manifest.artifact(item["precision"]!.string, mode: item["mode"]!.string.flatMap { modes[$0] }).file
        try same("artifact in \(item["precision"]!) by \(item["mode"]!)", item["file"]!.string, seen)
        return 1
    }

    private static func unsteppable(_ item: JsonValue) throws -> Int {
        let taken = (try? Session(item.manifest, stepping: Unasked())) != nil
        try same("whether steps are run of a manifest that does not say how", false, taken)
        return 1
    }

    private static func file(_ item: JsonValue) throws -> Int {
        let taken = (try? item.manifest.check(item["name"]!.string!, Data(item["content"]!.string!.utf8))) != nil
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

/// The network of a bundle without steps: nobody asks it.
private struct Unasked: StepNetwork {
    func step(_ input: Input, _ state: [[Float]]) throws -> StepOutput { throw BadBundle("a step of a bundle without them") }
}

extension JsonValue {
    var items: [JsonValue] { if case .list(let items) = self { return items } else { return [] } }
    var string: String? { if case .text(let text) = self { return text } else { return nil } }
    var bool: Bool { if case .bool(let value) = self { return value } else { return false } }
    var double: Double { number ?? .nan }
    var int: Int { Int(double) }
    var floats: [Float] { items.map { Float($0.double) } } // null, a missing joint's value, becomes NaN
    var bools: [Bool]? { if case .list(let items) = self { return items.map(\.bool) } else { return nil } }
    var frame: Frame { Frame(time: self["time"]!.double, joints: self["joints"]!.floats, confidence: self["confidence"]!.floats) }
    var manifest: Manifest { get throws { try Manifest(Data(self["text"]!.string!.utf8), seal: self["seal"]!.string) } }
}
