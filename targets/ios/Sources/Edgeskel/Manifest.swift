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
}

/// What the bundle says about itself; a manifest that was altered is refused.
public struct Manifest: Sendable {
    /// The schema that this reads.
    public static let schema = 1

    public let name: String
    public let target: String
    public let topology: String
    public let joints: [String]
    public let labels: [String]
    public let window: Window
    public let artifacts: [Artifact]
    /// File -> SHA-256, for `check`.
    public let digests: [String: String]
    /// Versions of what made the artifacts, such as `executorch`.
    public let tools: [String: String]

    /// Reads the text of `manifest.json`. Throws `BadBundle`: not JSON, another schema, altered, or a field is missing.
    public init(_ text: String) throws {
        let data = try Json.read(text)
        guard case .table = data else { throw BadBundle("manifest.json holds no object") }
        guard case .number(let schema)? = data["schema"], schema == String(Manifest.schema) else {
            throw BadBundle("the manifest has another schema; expected \(Manifest.schema): export anew, or update this package")
        }
        guard case .text(let digest)? = data["digest"], digest == sha256(Data(data.without("digest").canonical.utf8)) else {
            throw BadBundle("manifest.json does not match its own digest; copy the bundle again or export anew")
        }
        name = try data.text("name")
        target = try data.text("target")
        let layout = try data.need("topology")
        topology = try layout.text("name")
        joints = try layout.texts("joints")
        labels = try data.texts("labels")
        let size = try data.need("window")
        window = Window(persons: try size.size("persons"), frames: try size.size("frames"),
                        rateHz: try size.rate("rate_hz"), hop: try size.size("hop"))
        let files = try data.need("files").allTexts("files")
        artifacts = try data.items("artifacts").map { entry in
            let file = try entry.text("file")
            guard files[file] != nil else { throw missing("files.\(file)") }
            return Artifact(file: file, precision: try entry.text("precision"), engines: try entry.texts("engines"))
        }
        digests = files
        tools = try data["tools"]?.allTexts("tools") ?? [:]
    }

    /// The artifact to run: of a precision (fp32, int8), or the one that the bundle lists first for ExecuTorch.
    public func artifact(_ precision: String? = nil) throws -> Artifact {
        guard let found = artifacts.first(where: { artifact in
            artifact.engines.contains("executorch") && (precision == nil || artifact.precision == precision)
        }) else {
            throw BadBundle("the bundle \(name) has no \(precision ?? "") artifact for ExecuTorch; export it with --target ios")
        }
        return found
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

private extension Json {
    func need(_ field: String) throws -> Json {
        guard let value = self[field], case .table = value else { throw missing(field) }
        return value
    }

    func text(_ field: String) throws -> String {
        guard case .text(let value)? = self[field] else { throw missing(field) }
        return value
    }

    func items(_ field: String) throws -> [Json] {
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
        guard case .number(let digits)? = self[field], let value = Int(digits), value > 0, value <= Int32.max else {
            throw missing(field)
        }
        return value
    }

    func rate(_ field: String) throws -> Double {
        guard case .number(let digits)? = self[field], let value = Double(digits), value > 0, value < 1e6 else {
            throw missing(field)
        }
        return value
    }

    func allTexts(_ field: String) throws -> [String: String] {
        guard case .table(let fields) = self else { throw missing(field) }
        return try Dictionary(fields.map { entry in
            guard case .text(let value) = entry.value else { throw missing(field) }
            return (entry.name, value)
        }, uniquingKeysWith: { _, _ in throw missing(field) })
    }
}
