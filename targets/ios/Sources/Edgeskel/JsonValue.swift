import Foundation

/// A manifest as Foundation reads it, before its fields are asked for.
enum JsonValue: Decodable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([JsonValue])
    case table([String: JsonValue])

    init(from decoder: Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let list = try Self.inside({ try value.decode([JsonValue].self) }) {
            self = .list(list)
        } else if let table = try Self.inside({ try value.decode([String: JsonValue].self) }) {
            self = .table(table)
        } else {
            throw DecodingError.dataCorruptedError(in: value, debugDescription: "a number that no Double holds")
        }
    }

    /// Nil where it is something else; what is wrong inside it is wrong.
    private static func inside<T>(_ decode: () throws -> T) throws -> T? {
        do {
            return try decode()
        } catch DecodingError.typeMismatch {
            return nil
        }
    }

    /// Throws `BadBundle` when the content is not JSON.
    static func read(_ content: Data) throws -> JsonValue {
        do {
            return try JSONDecoder().decode(JsonValue.self, from: content)
        } catch let DecodingError.dataCorrupted(context) {
            let place = context.codingPath.map(\.stringValue).joined(separator: ".")
            throw BadBundle("manifest.json is not JSON (\(place) \(context.debugDescription)); copy the bundle again or export anew")
        } catch {
            throw BadBundle("manifest.json is not JSON; copy the bundle again or export anew")
        }
    }

    /// The value of a field; nil where there is none, or this is no table.
    subscript(_ name: String) -> JsonValue? {
        guard case .table(let fields) = self else { return nil }
        return fields[name]
    }
}
