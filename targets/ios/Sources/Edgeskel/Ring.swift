/// One window of the network: M * S * V * 3 metres and M * S * V confidences, flat, oldest frame first.
public struct Input: Sendable {
    public let joints: [Float]
    public let confidence: [Float]
}

/// The last S frames: the twin of `edgeskel.runtime.timeline.Ring`.
///
/// Axes: M persons, S frames, V joints.
struct Ring {
    private let persons: Int
    private let frames: Int
    private let joints: Int
    private var positions: [Float]
    private var confidence: [Float]
    private var seen = 0

    init(persons: Int, frames: Int, joints: Int) {
        self.persons = persons
        self.frames = frames
        self.joints = joints
        positions = [Float](repeating: 0, count: persons * frames * joints * 3)
        confidence = [Float](repeating: 0, count: persons * frames * joints)
    }

    /// Adds the newest frame; the oldest one leaves.
    mutating func push(_ frame: Frame) {
        let place = seen % frames
        for person in 0..<persons {
            let at = (person * frames + place) * joints
            let from = person * joints
            positions.replaceSubrange(3 * at..<3 * (at + joints), with: frame.joints[3 * from..<3 * (from + joints)])
            confidence.replaceSubrange(at..<at + joints, with: frame.confidence[from..<from + joints])
        }
        seen += 1
    }

    /// Another person stands there now: what the former did is missing.
    mutating func forget(_ person: Int) {
        let size = frames * joints
        for index in person * size..<(person + 1) * size {
            confidence[index] = 0
        }
        for index in 3 * person * size..<3 * (person + 1) * size {
            positions[index] = 0
        }
    }

    /// The last S frames, oldest first; those not seen yet follow with confidence 0.
    func window() -> Input {
        let first = seen >= frames ? seen % frames : 0
        var outPositions: [Float] = []
        var outConfidence: [Float] = []
        outPositions.reserveCapacity(positions.count)
        outConfidence.reserveCapacity(confidence.count)
        for person in 0..<persons {
            for frame in 0..<frames {
                let from = (person * frames + (first + frame) % frames) * joints
                outPositions += positions[3 * from..<3 * (from + joints)]
                outConfidence += confidence[from..<from + joints]
            }
        }
        return Input(joints: outPositions, confidence: outConfidence)
    }
}
