import Foundation

/// The fixed-size input of every artifact: M persons, S frames at a rate, and how many frames lie between two answers.
public struct Window: Sendable {
    public let persons: Int
    public let frames: Int
    public let rateHz: Double
    public let hop: Int
}

/// One exported file of the bundle.
public struct Artifact: Sendable {
    public let file: String
    public let precision: String
    public let engines: [String]
    /// `clip` (takes whole windows) or `step` (the next frames and the state).
    public let form: String
}

/// How live frames are recognised: frame by frame with a state, or the motion so far again and again.
public enum Mode: String, Sendable {
    case streaming
    case slidingWindow

    var form: String { self == .streaming ? "step" : "clip" }
}

/// What validation data said about the probabilities; the neutral values where there was none.
public struct Calibration: Sendable {
    /// The logits are divided by it. The artifacts do not do it themselves.
    public let temperature: Double
    /// Calibrated probability under which an action is unknown.
    public let threshold: Double
}

/// What the bundle says about itself; a manifest that was altered is refused.
public struct Manifest: Sendable {
    /// The schema that this reads; bundles of schema 1 are read, too.
    public static let schema = 2
    /// The file beside `manifest.json` that holds the digest of its bytes.
    public static let seal = "manifest.sha256"

    public let name: String
    public let target: String
    public let topology: String
    public let joints: [String]
    public let labels: [String]
    public let window: Window
    public let calibration: Calibration
    /// When a body counts as moving, as the recogniser's training clips taught.
    public let segmenter: SegmenterConfig
    /// How the artifacts that take steps are fed; nil where there are none.
    public let step: StepForm?
    public let artifacts: [Artifact]
    /// File -> SHA-256, for `check`.
    public let digests: [String: String]
    /// Versions of what made the artifacts, such as `executorch`.
    public let tools: [String: String]

    /// Reads the content of `manifest.json`; `seal` is that of `manifest.sha256`.
    ///
    /// Nil where there is none, as in bundles of schema 1: the digest inside their manifests is over a form that Foundation does not
    /// keep, so it is not checked here. That of every file is. Throws `BadBundle`: not JSON, another schema, altered, or a field is missing.
    public init(_ content: Data, seal: String?) throws {
        let digest = sha256(content)
        if let seal, seal != "\(digest)  manifest.json\n" {
            throw BadBundle("manifest.json: SHA-256 is \(digest.prefix(12))..., \(Manifest.seal) says \(seal.prefix(12))...; "
                + "copy the bundle again or export anew")
        }
        let data = try JsonValue.read(content)
        guard case .table = data else { throw BadBundle("manifest.json holds no object") }
        guard let schema = data["schema"]?.number, [1, Double(Manifest.schema)].contains(schema) else {
            throw BadBundle("the manifest has another schema; expected \(Manifest.schema) or 1: export anew, or update this package")
        }
        if seal == nil, schema != 1 { throw BadBundle("\(Manifest.seal) is missing beside manifest.json; copy the bundle again") }
        try checkNumbers(data)
        name = try data.text("name")
        target = try data.text("target")
        let layout = try data.need("topology")
        topology = try layout.text("name")
        joints = try layout.texts("joints")
        labels = try data.texts("labels")
        let size = try data.need("window")
        window = Window(persons: try size.size("persons"), frames: try size.size("frames"),
                        rateHz: try size.number("rate_hz"), hop: try size.size("hop"))
        calibration = try data["certainty"].map(readCalibration) ?? Calibration(temperature: 1, threshold: 0.5)
        segmenter = try data["segmenter"].map(readSegmenter) ?? SegmenterConfig()
        step = try data["step"].map(readStep)
        let files = try data.need("files").allTexts("files")
        artifacts = try data.items("artifacts").map { entry in
            let file = try entry.text("file")
            guard files[file] != nil else { throw missing("files.\(file)") }
            return Artifact(file: file, precision: try entry.text("precision"), engines: try entry.texts("engines"),
                            form: entry["form"] == nil ? "clip" : try entry.text("form"))
        }
        digests = files
        tools = try data["tools"]?.allTexts("tools") ?? [:]
        try checkSize(window, joints: joints.count, states: step?.states ?? [])
    }

    /// The artifact to run: of a precision (fp32, int8), or the one that the bundle lists first for ExecuTorch; `mode` nil
    /// streams where the bundle has an artifact for it, else takes windows. Throws `BadBundle` when there is none.
    public func artifact(_ precision: String? = nil, mode: Mode? = nil) throws -> Artifact {
        let fit = artifacts.filter { $0.engines.contains("executorch") && (precision == nil || $0.precision == precision) }
        for one in mode.map({ [$0] }) ?? [.streaming, .slidingWindow] {
            if let found = fit.first(where: { $0.form == one.form }) { return found }
        }
        let wanted = (precision.map { " in \($0)" } ?? "") + (mode.map { " of the form '\($0.form)'" } ?? "")
        let listed = artifacts.map { "\($0.file) (\($0.precision), \($0.form))" }.joined(separator: ", ")
        throw BadBundle("the bundle \(name) has no artifact for ExecuTorch\(wanted); it has \(listed): export one with --target ios")
    }

    /// When scores become events, as the bundle says; `threshold` takes the place of the bundle's own. Throws `BadInput` outside 0...1.
    public func events(threshold: Double? = nil) throws -> EventConfig {
        let least = threshold ?? calibration.threshold
        return try EventConfig(temperature: calibration.temperature, threshold: least, begin: max(least, 0.7), segmenter: segmenter)
    }

    /// Compares the SHA-256 of a file of the bundle with the manifest's. Throws `BadBundle` when it was altered.
    public func check(_ file: String, _ content: Data) throws {
        guard let expected = digests[file] else { throw BadBundle("the manifest lists no file \(file)") }
        let seen = sha256(content)
        if seen != expected {
            throw BadBundle("\(file): SHA-256 is \(seen.prefix(12))..., the manifest says \(expected.prefix(12))...; copy the bundle again")
        }
    }
}

private func missing(_ field: String) -> BadBundle {
    BadBundle("manifest.json: the field '\(field)' is missing or malformed; export anew")
}

private func readCalibration(_ entry: JsonValue) throws -> Calibration {
    guard case .table = entry else { throw missing("certainty") }
    return Calibration(temperature: entry["temperature"] == nil ? 1 : try entry.number("temperature", "certainty."),
                       threshold: entry["threshold"] == nil ? 0.5 : try entry.number("threshold", "certainty."))
}

/// Its numbers were checked by `checkNumbers`.
private func readSegmenter(_ entry: JsonValue) throws -> SegmenterConfig {
    guard case .table = entry else { throw missing("segmenter") }
    var found = SegmenterConfig()
    if entry["start"] != nil { found.start = try entry.number("start", "segmenter.") }
    if entry["stop"] != nil { found.stop = try entry.number("stop", "segmenter.") }
    if entry["still_s"] != nil { found.stillS = try entry.number("still_s", "segmenter.") }
    if entry["longest_s"] != nil { found.longestS = try entry.number("longest_s", "segmenter.") }
    if entry["shortest_s"] != nil { found.shortestS = try entry.number("shortest_s", "segmenter.") }
    if entry["margin_s"] != nil { found.marginS = try entry.number("margin_s", "segmenter.") }
    if found.stop > found.start { throw missing("segmenter.stop") }
    return found
}

private func readStep(_ entry: JsonValue) throws -> StepForm {
    guard case .table = entry else { throw missing("step") }
    guard let frames = entry["frames"]?.positive else { throw missing("step.frames") }
    guard case .list(let states)? = entry["states"] else { throw missing("step.states") }
    return StepForm(frames: frames, states: try states.map { state -> [Int] in
        guard case .list(let shape)? = state["shape"] else { throw missing("step.states") }
        return try shape.map { size -> Int in
            guard let value = size.positive else { throw missing("step.states") }
            return value
        }
    })
}

extension JsonValue {
    var number: Double? {
        guard case .number(let value) = self else { return nil }
        return value
    }
}

private extension JsonValue {
    /// The number, where it is a whole one above 0.
    var positive: Int? {
        guard let value = number, value >= 1, value <= Double(Int32.max) else { return nil }
        return Int(value)
    }

    func need(_ field: String) throws -> JsonValue {
        guard let value = self[field], case .table = value else { throw missing(field) }
        return value
    }

    func text(_ field: String) throws -> String {
        guard case .text(let value)? = self[field] else { throw missing(field) }
        return value
    }

    func items(_ field: String) throws -> [JsonValue] {
        guard case .list(let values)? = self[field] else { throw missing(field) }
        return values
    }

    func texts(_ field: String) throws -> [String] {
        let found = try items(field).map { item -> String in
            guard case .text(let value) = item else { throw missing(field) }
            return value
        }
        if found.isEmpty { throw missing(field) }
        return found
    }

    func size(_ field: String) throws -> Int {
        guard let value = self[field]?.positive else { throw missing(field) }
        return value
    }

    func number(_ field: String, _ parent: String = "") throws -> Double {
        guard let value = self[field]?.number else { throw missing(parent + field) }
        return value
    }

    func allTexts(_ field: String) throws -> [String: String] {
        guard case .table(let fields) = self else { throw missing(field) }
        return try fields.mapValues { value in
            guard case .text(let text) = value else { throw missing(field) }
            return text
        }
    }
}
