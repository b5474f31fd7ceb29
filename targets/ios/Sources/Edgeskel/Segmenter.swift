/// Frames in which somebody moved, oldest first, with the margin on both sides.
struct Stretch {
    let frames: [Frame]

    var start: Double { frames[0].time }
    var end: Double { frames[frames.count - 1].time }
}

/// Cuts frames into stretches of motion, with hysteresis: the twin of `edgeskel.runtime.motion.Segmenter`.
struct Segmenter {
    /// When the motion of the open stretch began; nil while none is open.
    private(set) var began: Double?
    private let config: SegmenterConfig
    private let slackS: Double // so that a duration of whole frames is not decided by the rounding of time stamps
    private let mostFrames: Int
    private let mostEnergies: Int
    private let least: Int
    private let judgeEvery: Int // frames: noise changes slowly
    private var motion: MotionEnergy
    private var frames: [Frame] = []
    private var energies: [Double] = []
    private var unjudged = 0
    private var noise = 0.0 // energy of a still body before this source, as judged so far
    private var moved = 0.0 // when it last moved

    init(_ joints: [String], rateHz: Double, config: SegmenterConfig, persons: Int) {
        self.config = config
        motion = MotionEnergy(joints, rateHz: rateHz, persons: persons)
        slackS = 0.5 / rateHz
        let keptS = config.longestS + config.stillS + 2 * config.marginS + 2 * motion.delayS
        func count(_ frames: Double) -> Int { Int(frames.rounded(.toNearestOrEven)) }
        mostFrames = count(keptS * rateHz) + 1
        mostEnergies = max(1, count(SegmenterConfig.noiseS * rateHz))
        least = max(1, count(SegmenterConfig.leastNoiseS * rateHz))
        judgeEvery = max(1, count(rateHz / 3))
    }

    var moving: Bool { began != nil }

    /// Takes a frame; the stretch that it ends, if it ends one.
    mutating func push(_ frame: Frame) -> Stretch? {
        frames.append(frame)
        if frames.count > mostFrames { frames.removeFirst() }
        let energy = motion.push(frame)
        judgeNoise(energy)
        let moment = frame.time - motion.delayS
        guard let start = began else {
            if energy > max(config.start, SegmenterConfig.startOverNoise * noise) {
                began = moment
                moved = moment
            }
            return nil
        }
        if energy > max(config.stop, SegmenterConfig.stopOverNoise * noise) { moved = moment }
        return max(moment - moved - config.stillS, moment - start - config.longestS) > -slackS ? close(start) : nil
    }

    private mutating func judgeNoise(_ energy: Double) {
        if energy == 0 { return } // nobody, which is no noise
        energies.append(energy)
        if energies.count > mostEnergies { energies.removeFirst() }
        unjudged += 1
        if unjudged >= judgeEvery, energies.count >= least {
            unjudged = 0
            noise = min(Self.tenth(energies.sorted()), SegmenterConfig.mostNoise)
        }
    }

    /// The value that a tenth of them lie under, interpolated.
    private static func tenth(_ sorted: [Double]) -> Double {
        let place = 0.1 * Double(sorted.count - 1)
        let below = Int(place)
        let above = sorted[min(below + 1, sorted.count - 1)]
        return sorted[below] + (above - sorted[below]) * (place - Double(below))
    }

    /// What was seen so far of the stretch that is open.
    func openStretch() -> Stretch? {
        began.map { cut($0, frames[frames.count - 1].time) }
    }

    /// The source has ended: the stretch that was open, if it was long enough.
    mutating func finish() -> Stretch? {
        began.flatMap { close($0) }
    }

    private mutating func close(_ start: Double) -> Stretch? {
        began = nil
        return moved - start < config.shortestS - slackS ? nil : cut(start, moved)
    }

    private func cut(_ start: Double, _ end: Double) -> Stretch {
        let margin = config.marginS + slackS
        return Stretch(frames: frames.filter { start - margin <= $0.time && $0.time <= end + margin })
    }
}
