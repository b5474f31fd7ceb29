/// The joints of all persons at one instant.
///
/// Axes: M persons, V joints; arrays are flat, the last axis fastest. Persons keep their places from frame to frame.
public struct Frame: Sendable {
    /// Seconds on the source's clock.
    public let time: Double
    /// M * V * 3 metres, right-handed, y up; a missing joint may hold anything.
    public let joints: [Float]
    /// M * V, 0 is missing and 1 is certain.
    public let confidence: [Float]

    public init(time: Double, joints: [Float], confidence: [Float]) {
        self.time = time
        self.joints = joints
        self.confidence = confidence
    }

    /// Refuses another number of joints, a confidence outside 0...1, and a seen joint that is not finite.
    func check(persons: Int, joints count: Int) throws {
        let size = persons * count
        guard confidence.count == size, joints.count == 3 * size else {
            throw BadInput("a frame of \(joints.count) coordinates and \(confidence.count) confidences; expected "
                + "\(3 * size) and \(size): \(persons) persons of \(count) joints")
        }
        for joint in 0..<size {
            let trust = confidence[joint]
            guard trust >= 0, trust <= 1 else { // also false for NaN
                throw BadInput("a confidence of \(trust) at joint \(joint); expected 0 to 1")
            }
            for axis in 3 * joint..<3 * joint + 3 where trust > 0 && !joints[axis].isFinite {
                throw BadInput("joint \(joint) is \(joints[axis]) with confidence \(trust); set the confidence of a missing joint to 0")
            }
        }
    }
}

/// The app fed something that breaks the contract; the message says what.
public struct BadInput: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// The manifest or a file of the bundle is not what it should be; the message says what to do.
public struct BadBundle: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
