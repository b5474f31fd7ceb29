/// Something that is known about an action; times in seconds on the source's clock.
public struct Event: Sendable {
    /// The label of an action that is none of those the recogniser learned.
    public static let unknown = "unknown"

    /// What is known anew of an action.
    public enum Kind: String, Sendable {
        /// It goes on, and this is what it looks like.
        case began
        /// It goes on, and looks like something else now.
        case changed
        /// It has ended, and this is what it was; the only event of an action that nothing was known of before.
        case ended
    }

    public let kind: Kind
    /// The number of who does it: kept while in sight, never given twice.
    public let person: Int
    /// What; `Event.unknown` where it is none of the known ones.
    public let label: String
    /// Calibrated probability of the likeliest class.
    public let confidence: Float
    public let start: Double
    /// Nil while it goes on.
    public let end: Double?
    /// Of the frame that brought the event.
    public let time: Double
}

/// When scores become events; `Manifest.events` has what the bundle says. The defaults are those of `edgeskel.runtime.EventConfig`.
public struct EventConfig: Sendable {
    /// The logits are divided by it.
    public let temperature: Double
    /// Calibrated probability under which an ended action is `Event.unknown`.
    public let threshold: Double
    /// Calibrated probability from which an action that goes on is named.
    public let begin: Double
    /// Answers that must agree before an action that goes on is named, or named anew.
    public let confirm: Int
    /// Share of the earlier answers in each.
    public let smoothing: Double
    /// When a body counts as moving.
    public let segmenter: SegmenterConfig

    /// Throws `BadInput` where a share is outside 0...1, the temperature not above 0, or `confirm` not at least 1.
    public init(temperature: Double = 1, threshold: Double = 0.5, begin: Double = 0.7, confirm: Int = 2, smoothing: Double = 0.5,
                segmenter: SegmenterConfig = SegmenterConfig()) throws {
        guard [threshold, begin, smoothing].allSatisfy((0...1).contains), temperature > 0, temperature.isFinite, confirm >= 1 else {
            throw BadInput("a threshold of \(threshold), begin \(begin), smoothing \(smoothing) (expected 0 to 1), a temperature of "
                + "\(temperature) (expected above 0), confirm \(confirm) (expected at least 1)")
        }
        self.temperature = temperature
        self.threshold = threshold
        self.begin = begin
        self.confirm = confirm
        self.smoothing = smoothing
        self.segmenter = segmenter
    }
}

/// When a body counts as moving; see `edgeskel.runtime.SegmenterConfig`. Speeds are torso lengths per second.
public struct SegmenterConfig: Sendable {
    public var start = 0.8
    public var stop = 0.35
    public var stillS = 0.3
    public var longestS = 6.0
    public var shortestS = 0.5
    public var marginS = 0.3

    static let startOverNoise = 2.5
    static let stopOverNoise = 1.5
    static let noiseS = 20.0
    static let leastNoiseS = 2.0
    static let mostNoise = 0.8

    public init() {}
}
