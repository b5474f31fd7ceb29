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

/// What the last window, or the last step, shows.
public struct Recognition: Sendable {
    /// The label of what is none of the actions that the recogniser learned.
    public static let unknown = "unknown"

    /// The most probable action, or `unknown` where none reaches the threshold.
    public let label: String
    /// Of the most probable action.
    public let probability: Float
    /// K, calibrated by the bundle's temperature and smoothed over the answers.
    public let probabilities: [Float]
    /// D, of this window or step.
    public let embedding: [Float]
    /// Seconds, its end on the source's clock.
    public let time: Double
}

/// Live frames in, recognitions out, by window (the twin of `edgeskel.runtime.Session.push`) or frame by frame. Not for several
/// threads at once.
///
/// Frames may come at any rate and with jitter.
public final class Recogniser {
    private static let latestTime = 1e11 // seconds, three thousand years

    public let manifest: Manifest
    private var recognising: any Recognising
    private var naming: Naming
    private var resampler: Resampler
    private var latest = -Double.infinity

    /// Recognises the last S frames every `hop` frames.
    public convenience init(_ manifest: Manifest, _ network: Network, _ thresholds: Thresholds = Thresholds()) {
        self.init(manifest, by: ByWindow(manifest, network), thresholds)
    }

    /// Recognises frame by frame. Throws `BadBundle` where the manifest does not say how steps are fed.
    public convenience init(_ manifest: Manifest, stepping network: StepNetwork, _ thresholds: Thresholds = Thresholds()) throws {
        self.init(manifest, by: try ByFrame(manifest, network), thresholds)
    }

    private init(_ manifest: Manifest, by recognising: any Recognising, _ thresholds: Thresholds) {
        self.manifest = manifest
        self.recognising = recognising
        naming = Naming(labels: manifest.labels, certainty: manifest.certainty, thresholds: thresholds)
        resampler = Self.clock(manifest)
    }

    private static func clock(_ manifest: Manifest) -> Resampler {
        Resampler(rateHz: manifest.window.rateHz, persons: manifest.window.persons, joints: manifest.joints.count)
    }

    /// Forgets the frames: a source starts anew, its clock may start anew too.
    public func reset() {
        resampler = Self.clock(manifest)
        recognising.reset()
        naming.clear()
        latest = -Double.infinity
    }

    /// Takes a frame; by window it recognises every `hop` frames of the window's clock, frame by frame whenever a step is full.
    ///
    /// The frame is of the bundle's topology, later than the one before, its M persons in the same places as before.
    /// `replaced` is true where another person than before stands. The answer is nil in between, and while nobody has been
    /// there for S frames. Throws `BadInput` when the frame breaks the contract or its time does not increase, and `BadBundle`
    /// when the network's answer is none.
    public func push(_ frame: Frame, replaced: [Bool]? = nil) throws -> Recognition? {
        let window = manifest.window
        guard frame.time.isFinite, frame.time > latest else {
            throw BadInput("a frame of time \(frame.time) s follows one of \(latest) s; call reset() when a source starts again")
        }
        guard abs(frame.time) <= Self.latestTime else {
            throw BadInput("a frame of time \(frame.time) counts something smaller than seconds; divide the times by their unit")
        }
        try frame.check(persons: window.persons, joints: manifest.joints.count)
        if let replaced, replaced.count != window.persons {
            throw BadInput("replaced tells of \(replaced.count) persons; expected \(window.persons)")
        }
        if frame.time - latest > Double(window.frames) / window.rateHz {
            reset() // nothing of what was seen before the pause is in the window any more
        }
        latest = frame.time
        if let replaced {
            for person in replaced.indices where replaced[person] {
                recognising.forget(person)
            }
            if replaced.allSatisfy({ $0 }) { naming.clear() }
        }
        var seen: Recognition?
        for answer in try recognising.push(resampler.push(frame, replaced: replaced)) {
            if let output = answer.output {
                seen = naming.push(output, answer.time)
            } else {
                naming.clear()
                seen = nil
            }
        }
        return seen
    }
}
