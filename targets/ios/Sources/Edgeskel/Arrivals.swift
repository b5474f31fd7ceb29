/// Which of the frames that arrive are taken, by their time stamps: the twin of `edgeskel.runtime.arrivals.Arrivals`.
struct Arrivals {
    private static let gapS = 5.0 // after which nothing before counts any more: longer than a window
    private static let latestS = 1e11 // some 3,000 years: what lies beyond counts something smaller than seconds
    private static let far = "time far from the others"

    /// What was not taken, counted by the reason.
    private(set) var refused: [String: Int] = [:]
    private var last: Double?
    private var aside: Frame?
    private var step = 0.0 // between the two latest frames that were put aside

    mutating func refuse(_ reason: String) {
        refused[reason, default: 0] += 1
    }

    /// The frames to go on with, each with whether the clock jumped before it.
    mutating func push(_ frame: Frame) -> [(frame: Frame, jumped: Bool)] {
        guard frame.time.isFinite else {
            refuse("time is not a number")
            return []
        }
        guard abs(frame.time) <= Self.latestS else {
            refuse("time looks like \(unit(frame.time)), not seconds")
            return []
        }
        guard let before = last, !follows(frame, before) else {
            if aside != nil { refuse(Self.far) }
            take(frame)
            return [(frame, false)]
        }
        if let other = aside, follows(frame, other.time) {
            take(frame)
            return [(other, true), (frame, false)]
        }
        if abs(frame.time - before) <= Self.gapS {
            refuse("late or repeated")
            return []
        }
        if let other = aside {
            let earlier = step
            step = frame.time - other.time
            let steady = 0 < earlier / 3 && earlier / 3 < step && step < 3 * earlier
            refuse(steady ? "\(Self.far) (as of frames in \(unit(ofStep: step)))" : Self.far)
        }
        aside = frame
        return []
    }

    private mutating func take(_ frame: Frame) {
        last = frame.time
        aside = nil
        step = 0
    }

    private func follows(_ frame: Frame, _ time: Double) -> Bool {
        time < frame.time && frame.time <= time + Self.gapS
    }

    private func unit(_ time: Double) -> String {
        if abs(time) >= 1e17 { return "nanoseconds" }
        return (abs(time) < 1e14 ? "milliseconds" : "microseconds") + " since 1970, or nanoseconds"
    }

    private func unit(ofStep step: Double) -> String {
        step < 2e3 ? "milliseconds" : step < 2e6 ? "microseconds" : "nanoseconds"
    }
}
