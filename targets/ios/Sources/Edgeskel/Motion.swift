/// Speed of the fastest joints, in torso lengths per second, the largest over the persons: the twin of
/// `edgeskel.runtime.motion.MotionEnergy`.
///
/// Axes: M persons, V joints.
struct MotionEnergy {
    private static let lagS = 0.2 // between the two positions that are compared

    /// Seconds by which the energy lags behind the frame.
    let delayS: Double
    private let persons: Int
    private let size: Int
    private let lag: Int
    private let mean: Int
    private let perSecond: Float
    private let fastest: Int
    private let top: [Int]
    private let bottom: [Int]
    private var frames: [Frame] = []
    private var torso: [Float] // metres, slowly followed

    init(_ joints: [String], rateHz: Double, persons: Int) {
        self.persons = persons
        size = joints.count
        lag = max(1, Int((Self.lagS * rateHz).rounded(.toNearestOrEven)))
        mean = max(1, lag - 1)
        delayS = Double(lag + mean - 1) / 2 / rateHz
        perSecond = Float(rateHz / Double(lag))
        fastest = max(1, Int((0.15 * Double(size)).rounded(.toNearestOrEven)))
        top = ["left_shoulder", "right_shoulder"].compactMap { joints.firstIndex(of: $0) }
        bottom = ["left_hip", "right_hip"].compactMap { joints.firstIndex(of: $0) }
        torso = [Float](repeating: 0.5, count: persons)
    }

    /// Energy as of `delayS` before this frame; 0 while too little was seen.
    mutating func push(_ frame: Frame) -> Double {
        if let latest = frames.last, frame.time - latest.time > Self.lagS { frames.removeAll() } // nothing is known of the time between
        frames.append(frame)
        if frames.count > lag + mean { frames.removeFirst() }
        for person in 0..<persons { measure(frame, person) }
        if frames.count < lag + mean { return 0 }
        return Double((0..<persons).map { energy($0) / torso[$0] }.max() ?? 0)
    }

    private func energy(_ person: Int) -> Float {
        let speeds = (0..<size).map { speed(person * size + $0) }.sorted()
        return speeds.suffix(fastest).reduce(0, +) / Float(fastest)
    }

    private func speed(_ joint: Int) -> Float {
        let before = sums(joint, 0)
        let after = sums(joint, lag)
        if before[3] == 0 || after[3] == 0 { return 0 }
        var square: Float = 0
        for axis in 0..<3 {
            let moved = after[axis] / after[3] - before[axis] / before[3]
            square += moved * moved
        }
        return square.squareRoot() * perSecond
    }

    /// Of the frames from `first` on: the sum of the joint's positions where it is seen, and in how many it is.
    private func sums(_ joint: Int, _ first: Int) -> [Float] {
        var sum: [Float] = [0, 0, 0, 0]
        for frame in frames[first..<first + mean] where frame.confidence[joint] > 0 {
            for axis in 0..<3 { sum[axis] += frame.joints[3 * joint + axis] }
            sum[3] += 1
        }
        return sum
    }

    private mutating func measure(_ frame: Frame, _ person: Int) {
        if top.isEmpty || bottom.isEmpty || (top + bottom).contains(where: { frame.confidence[person * size + $0] <= 0 }) { return }
        var square = 0.0
        for axis in 0..<3 {
            var across: Float = 0
            for joint in top { across += 1 / Float(top.count) * frame.joints[3 * (person * size + joint) + axis] }
            for joint in bottom { across += -1 / Float(bottom.count) * frame.joints[3 * (person * size + joint) + axis] }
            square += Double(across) * Double(across)
        }
        let length = Float(min(max(square.squareRoot(), 0.2), 1))
        torso[person] += 0.1 * (length - torso[person])
    }
}
