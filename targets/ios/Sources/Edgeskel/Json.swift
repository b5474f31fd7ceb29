/// JSON with numbers as they are written: a digest over a manifest needs the very digits, which Foundation's reader forgets.
indirect enum Json {
    case null
    case bool(Bool)
    case number(String)
    case text(String)
    case list([Json])
    case table([(name: String, value: Json)])

    static let deepest = 64

    /// Throws `BadBundle` when the text is not JSON.
    static func read(_ text: String) throws -> Json {
        var reader = Reader(text)
        let value = try reader.value(0)
        try reader.end()
        return value
    }

    /// As the manifest's digest is taken over: keys sorted, no spaces, ASCII only, numbers as read.
    var canonical: String {
        var out = ""
        write(&out)
        return out
    }

    /// The value of a field; nil where there is none, or this is no table.
    subscript(_ name: String) -> Json? {
        guard case .table(let fields) = self else { return nil }
        return fields.first { $0.name.unicodeScalars.elementsEqual(name.unicodeScalars) }?.value
    }

    func without(_ name: String) -> Json {
        guard case .table(let fields) = self else { return self }
        return .table(fields.filter { $0.name != name })
    }

    private func write(_ out: inout String) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .number(let digits): out += digits
        case .text(let text): Json.quote(text, &out)
        case .list(let items):
            out += "["
            for (index, item) in items.enumerated() {
                if index > 0 { out += "," }
                item.write(&out)
            }
            out += "]"
        case .table(let fields):
            out += "{"
            let sorted = fields.sorted { $0.name.unicodeScalars.lexicographicallyPrecedes($1.name.unicodeScalars) }
            for (index, field) in sorted.enumerated() {
                if index > 0 { out += "," }
                Json.quote(field.name, &out)
                out += ":"
                field.value.write(&out)
            }
            out += "}"
        }
    }

    private static func quote(_ text: String, _ out: inout String) {
        out += "\""
        for unit in text.utf16 {
            switch unit {
            case 0x22: out += "\\\""
            case 0x5C: out += "\\\\"
            case 0x0A: out += "\\n"
            case 0x0D: out += "\\r"
            case 0x09: out += "\\t"
            case 0x08: out += "\\b"
            case 0x0C: out += "\\f"
            case 0x20...0x7E: out.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default:
                let digits = String(unit, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        out += "\""
    }
}

private struct Reader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    mutating func value(_ depth: Int) throws -> Json {
        if depth > Json.deepest { throw wrong("more than \(Json.deepest) levels") }
        space()
        switch try peek() {
        case UInt8(ascii: "{"): return try table(depth)
        case UInt8(ascii: "["): return try list(depth)
        case UInt8(ascii: "\""): return .text(try text())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return .number(try number())
        }
    }

    mutating func end() throws {
        space()
        if at < bytes.count { throw wrong("more after the end") }
    }

    private mutating func table(_ depth: Int) throws -> Json {
        var fields: [(name: String, value: Json)] = []
        var names: Set<[UInt8]> = [] // as bytes: to Swift two spellings of one letter are equal, to the digest they are not
        at += 1
        space()
        if skip("}") { return .table(fields) }
        while true {
            space()
            if try peek() != UInt8(ascii: "\"") { throw wrong("no name of a field") }
            let name = try text()
            if !names.insert(Array(name.utf8)).inserted { throw wrong("the field '\(name)' twice") }
            space()
            if !skip(":") { throw wrong("no ':'") }
            fields.append((name, try value(depth + 1)))
            space()
            if skip("}") { return .table(fields) }
            if !skip(",") { throw wrong("no ',' or '}'") }
        }
    }

    private mutating func list(_ depth: Int) throws -> Json {
        var items: [Json] = []
        at += 1
        space()
        if skip("]") { return .list(items) }
        while true {
            items.append(try value(depth + 1))
            space()
            if skip("]") { return .list(items) }
            if !skip(",") { throw wrong("no ',' or ']'") }
        }
    }

    private mutating func text() throws -> String {
        var units: [UInt16] = []
        var plain = at + 1 // where the bytes start that need no change
        at += 1
        while true {
            let byte = try peek()
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                units += Array(String(decoding: bytes[plain..<at], as: UTF8.self).utf16)
                at += 1
                if byte == UInt8(ascii: "\"") { break }
                units.append(try escape())
                plain = at
            } else if byte < 0x20 {
                throw wrong("a control character in a text")
            } else {
                at += 1
            }
        }
        var out = String.UnicodeScalarView()
        var decoder = UTF16()
        var source = units.makeIterator()
        while true {
            switch decoder.decode(&source) {
            case .scalarValue(let scalar): out.append(scalar)
            case .emptyInput: return String(out)
            case .error: throw wrong("half a character")
            }
        }
    }

    private mutating func escape() throws -> UInt16 {
        let byte = try peek()
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return UInt16(byte)
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "f"): return 0x0C
        case UInt8(ascii: "u"):
            let digits = bytes[at..<min(at + 4, bytes.count)]
            let hexadecimal = digits.count == 4 && digits.allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
            guard hexadecimal, let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16) else {
                throw wrong("an escape that is none")
            }
            at += 4
            return unit
        default: throw wrong("an escape that is none")
        }
    }

    private mutating func number() throws -> String {
        let start = at
        _ = skip("-")
        if !skip("0") { try digits() }
        if skip(".") { try digits() }
        if skip("e") || skip("E") {
            if !skip("-") { _ = skip("+") }
            try digits()
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func digits() throws {
        let start = at
        while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") { at += 1 }
        if at == start { throw wrong("no digit") }
    }

    private mutating func word(_ word: String, _ value: Json) throws -> Json {
        if !bytes[at...].starts(with: word.utf8) { throw wrong("an unknown word") }
        at += word.utf8.count
        return value
    }

    private mutating func space() {
        while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    }

    private mutating func skip(_ sign: Unicode.Scalar) -> Bool {
        let there = at < bytes.count && bytes[at] == UInt8(ascii: sign)
        if there { at += 1 }
        return there
    }

    private func peek() throws -> UInt8 {
        if at >= bytes.count { throw wrong("the end too early") }
        return bytes[at]
    }

    private func wrong(_ seen: String) -> BadBundle {
        BadBundle("manifest.json is not JSON: \(seen) at byte \(at); copy the bundle again or export anew")
    }
}
