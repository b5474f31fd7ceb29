/// What the network answers: K probabilities in the order of the labels, and the embedding.
public struct Output: Sendable {
    public let probabilities: [Float]
    public let embedding: [Float]

    public init(probabilities: [Float], embedding: [Float]) {
        self.probabilities = probabilities
        self.embedding = embedding
    }
}

/// Runs one window. `ExecutorchNetwork` is the one that runs a `.pte` file.
public protocol Network {
    func run(_ input: Input) throws -> Output
}

/// When a recognition counts; the defaults are those of `edgeskel.runtime.EventConfig`.
public struct Thresholds: Sendable {
    /// Probability under which the answer is no action.
    public let probability: Float
    /// Share of the earlier answers in the present one.
    public let smoothing: Float

    /// Throws `BadInput` outside 0...1.
    public init(probability: Float, smoothing: Float) throws {
        guard (0...1).contains(probability), (0...1).contains(smoothing) else {
            throw BadInput("a threshold of \(probability) and a smoothing of \(smoothing); expected 0 to 1")
        }
        self.probability = probability
        self.smoothing = smoothing
    }

    public init() {
        probability = 0.5
        smoothing = 0.5
    }
}

/// What the last window shows.
public struct Recognition: Sendable {
    /// The most probable action, or nil where none reaches the threshold.
    public let label: String?
    /// Of the most probable action, smoothed over the hops.
    public let probability: Float
    /// K, smoothed over the hops.
    public let probabilities: [Float]
    /// D, of this window.
    public let embedding: [Float]
    /// Seconds, the end of the window on the source's clock.
    public let time: Double
}

/// Live frames in, recognitions out: the twin of `edgeskel.runtime.Session.push`. Not for several threads at once.
///
/// Frames may come at any rate and with jitter. Until S of them have been seen, the graph stretches those that there are.
public final class Recogniser {
    public let manifest: Manifest
    private let network: Network
    private let thresholds: Thresholds
    private var resampler: Resampler
    private var ring: Ring
    private var latest = -Double.infinity
    private var waiting = 0 // frames since the last recognition
    private var smoothed: [Float]?

    public init(_ manifest: Manifest, _ network: Network, _ thresholds: Thresholds = Thresholds()) {
        self.manifest = manifest
        self.network = network
        self.thresholds = thresholds
        let window = manifest.window
        resampler = Resampler(rateHz: window.rateHz, persons: window.persons, joints: manifest.joints.count)
        ring = Ring(persons: window.persons, frames: window.frames, joints: manifest.joints.count)
    }

    /// Forgets the frames: a source starts anew, its clock may start anew too.
    public func reset() {
        let window = manifest.window
        resampler = Resampler(rateHz: window.rateHz, persons: window.persons, joints: manifest.joints.count)
        ring = Ring(persons: window.persons, frames: window.frames, joints: manifest.joints.count)
        latest = -Double.infinity
        waiting = 0
        smoothed = nil
    }

    /// Takes a frame; every `hop` frames of the window's clock it recognises the last S.
    ///
    /// The frame is of the bundle's topology, later than the one before, its M persons in the same places as before.
    /// `replaced` is true where another person than before stands. The answer is nil in between, and while nobody is in
    /// the window. Throws `BadInput` when the frame breaks the contract or its time does not increase.
    public func push(_ frame: Frame, replaced: [Bool]? = nil) throws -> Recognition? {
        let window = manifest.window
        guard frame.time.isFinite, frame.time > latest else {
            throw BadInput("a frame of time \(frame.time) s follows one of \(latest) s; call reset() when a source starts again")
        }
        try frame.check(persons: window.persons, joints: manifest.joints.count)
        if let replaced, replaced.count != window.persons {
            throw BadInput("replaced tells of \(replaced.count) persons; expected \(window.persons)")
        }
        if frame.time - latest > Double(window.frames) / window.rateHz {
            reset() // nothing of what was seen before the pause is in the window any more
        }
        latest = frame.time
        for person in 0..<window.persons where replaced?[person] ?? false {
            ring.forget(person)
        }
        var due = false
        var end = 0.0
        for settled in resampler.push(frame, replaced: replaced) {
            ring.push(settled)
            end = settled.time
            waiting += 1
            if waiting >= window.hop {
                waiting = 0
                due = true
            }
        }
        return due ? try recognise(end) : nil
    }

    private func recognise(_ time: Double) throws -> Recognition? {
        let input = ring.window()
        guard input.confidence.contains(where: { $0 > 0 }) else {
            smoothed = nil
            return nil
        }
        let output = try network.run(input)
        guard output.probabilities.count == manifest.labels.count, output.probabilities.allSatisfy(\.isFinite) else {
            throw BadBundle("the network answered with \(output.probabilities.count) probabilities, or with NaN; expected "
                + "\(manifest.labels.count): run edgeskel verify on the bundle")
        }
        let kept = thresholds.smoothing
        let probabilities = smoothed.map { zip($0, output.probabilities).map { kept * $0 + (1 - kept) * $1 } }
            ?? output.probabilities
        smoothed = probabilities
        var best = 0
        for index in probabilities.indices where probabilities[index] > probabilities[best] {
            best = index
        }
        let label = probabilities[best] >= thresholds.probability ? manifest.labels[best] : nil
        return Recognition(label: label, probability: probabilities[best], probabilities: probabilities,
                           embedding: output.embedding, time: time)
    }
}
