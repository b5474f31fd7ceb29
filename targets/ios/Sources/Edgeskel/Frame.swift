/// The joints of all persons at one instant.
///
/// Axes: P persons, V joints; arrays are flat, the last axis fastest. P may change from frame to frame, and the persons may stand in any
/// order.
public struct Frame: Sendable {
    /// Seconds on the source's clock.
    public let time: Double
    /// P * V * 3 metres, right-handed, y up; a missing joint may hold anything.
    public let joints: [Float]
    /// P * V, 0 is missing and 1 is certain.
    public let confidence: [Float]

    public init(time: Double, joints: [Float], confidence: [Float]) {
        self.time = time
        self.joints = joints
        self.confidence = confidence
    }

    /// One of the persons alone.
    func person(_ index: Int, joints size: Int) -> Frame {
        Frame(time: time, joints: Array(joints[3 * index * size..<3 * (index + 1) * size]),
              confidence: Array(confidence[index * size..<(index + 1) * size]))
    }
}

/// The app gave something that breaks the contract; the message says what.
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
