/// Frames with time stamps onto a regular clock: the twin of `edgeskel.runtime.timeline.Resampler`.
///
/// Each frame settles the instants of the grid up to its time: interpolated between it and the frame before, or missing
/// when the pause between the two was longer than the source's habit.
struct Resampler {
    private static let longest = 0.5 // seconds: a longer pause is a gap however slow the source is
    private static let habit = 2.5 // usual periods: one lost frame is interpolated, two are not
    private static let rounding = 1e-4 // of a period, by which a time stamp may fall short of the grid
    private static let remembered = 15
    private static let least: Float = 1e-9

    private let period: Double
    private let persons: Int
    private let joints: Int
    private var start = 0.0
    private var count = 0 // grid instants given so far
    private var before: Frame?
    private var pauses: [Double] = []

    /// The grid starts at the first frame's time.
    init(rateHz: Double, persons: Int, joints: Int) {
        period = 1 / rateHz
        self.persons = persons
        self.joints = joints
    }

    /// The grid's frames up to and including the frame's time.
    ///
    /// `replaced` is true where another person than before stands in that place: the two are not interpolated.
    mutating func push(_ frame: Frame, replaced: [Bool]? = nil) -> [Frame] {
        let earlier = before ?? frame
        if before == nil {
            start = frame.time
        }
        before = frame
        let pause = frame.time - earlier.time
        if pause > 0 {
            pauses.append(pause)
            if pauses.count > Self.remembered {
                pauses.removeFirst()
            }
        }
        let usual = pauses.isEmpty ? period : Self.median(pauses)
        let gap = pause > max(Self.habit * period, min(Self.habit * usual, Self.longest))
        var settled: [Frame] = []
        while true {
            let time = start + Double(count) * period
            if time > frame.time + Self.rounding * period {
                return settled
            }
            count += 1
            var shares: (Float, Float)
            if gap {
                let nearBefore = time - earlier.time <= period / 2
                let nearAfter = frame.time - time <= period / 2
                shares = (nearBefore ? 1 : 0, nearAfter && !nearBefore ? 1 : 0)
            } else {
                let share = pause <= 0 ? 1 : min(max((time - earlier.time) / pause, 0), 1)
                shares = (Float(1 - share), Float(share))
            }
            settled.append(mix(time, earlier, frame, shares, replaced))
        }
    }

    /// A frame between two: a missing joint's value is never mixed in, and its absence lowers the confidence.
    private func mix(_ time: Double, _ a: Frame, _ b: Frame, _ shares: (Float, Float), _ replaced: [Bool]?) -> Frame {
        var mixed = [Float](repeating: 0, count: persons * joints * 3)
        var confidence = [Float](repeating: 0, count: persons * joints)
        for joint in confidence.indices {
            let gone = replaced.map { $0[joint / joints] } ?? false
            let weightA = gone ? 0 : shares.0 * a.confidence[joint]
            let weightB = shares.1 * b.confidence[joint]
            let total = weightA + weightB
            let scale = 1 / max(total, Self.least)
            for axis in 3 * joint..<3 * joint + 3 {
                let partA = weightA > 0 ? a.joints[axis] * (weightA * scale) : 0
                let partB = weightB > 0 ? b.joints[axis] * (weightB * scale) : 0
                mixed[axis] = partA + partB
            }
            confidence[joint] = min(total, 1)
        }
        return Frame(time: time, joints: mixed, confidence: confidence)
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
