import Foundation

/// Plays the live streams of `tests/targets/live_streams.json`: for each one line of JSON with its events, what the network was given and
/// what was left out. `tests/targets/live_streams.py` compares.
enum Streams {
    struct Told: Encodable {
        let name: String
        let events: [ToldEvent]
        let inputs: [[Double]]
        let refused: [String: Int]
    }

    struct ToldEvent: Encodable {
        let kind: String
        let person: Int
        let label: String
        let confidence: Float
        let start: Double
        let end: Double?
        let time: Double

        func encode(to encoder: Encoder) throws { // `end` as null, not left out
            var fields = encoder.container(keyedBy: CodingKeys.self)
            try fields.encode(kind, forKey: .kind)
            try fields.encode(person, forKey: .person)
            try fields.encode(label, forKey: .label)
            try fields.encode(confidence, forKey: .confidence)
            try fields.encode(start, forKey: .start)
            try fields.encode(end, forKey: .end)
            try fields.encode(time, forKey: .time)
        }

        enum CodingKeys: String, CodingKey { case kind, person, label, confidence, start, end, time }
    }

    static func play(_ stream: JsonValue, _ recording: JsonValue) throws -> Told {
        let manifest = try Manifest(Data(stream["manifest"]!.string!.utf8), seal: stream["seal"]!.string)
        let replayed = Replayed(stream["answers"]!.items.map(\.floats))
        let session = stream["mode"]!.string == "streaming" ? try Session(manifest, stepping: replayed) : try Session(manifest, replayed)
        var events = try frames(recording).flatMap { try session.step($0) }
        events += try session.finish()
        let told = events.map {
            ToldEvent(kind: $0.kind.rawValue, person: $0.person, label: $0.label, confidence: $0.confidence, start: $0.start, end: $0.end,
                      time: $0.time)
        }
        return Told(name: stream["name"]!.string!, events: told, inputs: replayed.inputs, refused: session.refused)
    }

    private static func frames(_ recording: JsonValue) -> [Frame] {
        let places = [UInt8](Data(base64Encoded: recording["joints"]!.string!)!)
        let trust = [UInt8](Data(base64Encoded: recording["confidence"]!.string!)!)
        let size = recording["layout"]!.items.count
        let cut = Set(recording["cut"]!.items.map(\.int))
        let patches = recording["patches"]!.items
        var first = 0
        return zip(recording["times"]!.items, recording["persons"]!.items).enumerated().map { index, item in
            let count = item.1.int * size
            var joints = (3 * first..<3 * (first + count)).map { at in
                Float(Int16(bitPattern: UInt16(places[2 * at]) | UInt16(places[2 * at + 1]) << 8)) / 1000
            }
            var confidence = trust[first..<first + count].map { Float($0) / 100 }
            first += count
            for patch in patches where patch["frame"]!.int == index {
                let value = Float(patch["value"]!.string!)!
                if patch["what"]!.string == "joints" { joints[patch["index"]!.int] = value } else { confidence[patch["index"]!.int] = value }
            }
            let kept = (0..<count).filter { !cut.contains(index) || $0 % size != size - 1 }
            return Frame(time: item.0.double, joints: kept.flatMap { joints[3 * $0..<3 * $0 + 3] }, confidence: kept.map { confidence[$0] })
        }
    }
}

/// Gives the next answer at each call, and keeps sums of what it was given, as `live_streams.Replayed`.
private final class Replayed: Network, StepNetwork {
    private let answers: [[Float]]
    private(set) var inputs: [[Double]] = []

    init(_ answers: [[Float]]) {
        self.answers = answers
    }

    func run(_ input: Input) throws -> Output {
        answer(input, [])
    }

    func step(_ input: Input, _ state: [[Float]]) throws -> StepOutput {
        let seen = Float(input.confidence.reduce(0) { $0 + Double($1) })
        let after = [state[0][0] + 1, 0.5 * state[0][1] + seen]
        return StepOutput(output: answer(input, after.map { Double($0) }), state: [after])
    }

    private func answer(_ input: Input, _ more: [Double]) -> Output {
        let places = input.joints.indices.map { input.confidence[$0 / 3] > 0 ? Double(input.joints[$0]) : 0 }
        let trust = input.confidence.map { Double($0) }
        inputs.append([places.reduce(0, +), weighted(places), trust.reduce(0, +), weighted(trust)] + more)
        let index = inputs.count - 1
        return Output(probabilities: answers[index % answers.count], embedding: [Float(index)])
    }

    private func weighted(_ values: [Double]) -> Double {
        values.enumerated().reduce(0) { $0 + $1.element * Double(1 + $1.offset % 97) }
    }
}
