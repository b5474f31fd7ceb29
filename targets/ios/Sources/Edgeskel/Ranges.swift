/// From `least` to `most`, both included; `whole` numbers only, where it says so.
struct Range: CustomStringConvertible {
    let least: Double
    let most: Double
    let whole: Bool

    func contains(_ value: Double) -> Bool {
        value >= least && value <= most && !(whole && value != value.rounded(.down))
    }

    var description: String {
        "a \(least > 0 ? "positive " : "")\(whole ? "whole " : "")number from \(short(least)) to \(short(most))"
    }
}

private func short(_ value: Double) -> String {
    value == value.rounded(.down) && abs(value) < 1e15 ? String(Int64(value)) : String(value)
}

private let elsewhere = Range(least: -1e30, most: 1e30, whole: false)
private let free = "artifacts[].measured[]" // what was not measured is null there
private let mostValues = 10_000_000.0 // of one window, or of the state of one person: 40 MB

/// What the numbers of a manifest may be, as `edgeskel.runtime.ranges` has it: a number outside its range is a damaged or a made-up
/// manifest, which would fail far from here, or never end. Throws `BadBundle`; the message names its place.
func checkNumbers(_ value: JsonValue, _ place: String = "") throws {
    switch value {
    case .table(let fields):
        for (name, item) in fields { try checkNumbers(item, place.isEmpty ? name : "\(place).\(name)") }
    case .list(let items):
        for item in items { try checkNumbers(item, "\(place)[]") }
    case .null, .bool, .text, .number:
        let known = rangeTable[place]
        if value.number == nil && known == nil { return }
        if case .null = value, place.hasPrefix(free) { return }
        guard let number = value.number, (known ?? elsewhere).contains(number) else {
            throw BadBundle("manifest.json: malformed: \(place) is \("\(value)".prefix(40)); expected "
                + "\(known?.description ?? "a finite number"): copy the bundle again or export anew")
        }
    }
}

/// Throws `BadBundle` for windows or states that no device of this kind holds, though each number for itself would do.
func checkSize(_ window: Window, joints: Int, states: [[Int]]) throws {
    let ofWindow = 3.0 * Double(window.persons) * Double(window.frames) * Double(joints)
    let ofState = states.reduce(0.0) { $0 + $1.reduce(1.0) { $0 * Double($1) } }
    for (what, size) in [("one window", ofWindow), ("the state of one person", ofState)] where size > mostValues {
        throw BadBundle("manifest.json: \(what) has \(size) values; expected at most \(Int(mostValues)): export anew")
    }
}
