import Foundation

/// When a recognition counts.
public struct Thresholds: Sendable {
    /// Calibrated probability under which the answer is `Recognition.unknown`; nil takes the bundle's own threshold.
    public let probability: Double?
    /// Share of the earlier answers in the present one; the default is that of `edgeskel.runtime.EventConfig`.
    public let smoothing: Float

    /// Throws `BadInput` outside 0...1.
    public init(probability: Double?, smoothing: Float = 0.5) throws {
        guard (0...1).contains(probability ?? 0), (0...1).contains(smoothing) else {
            throw BadInput("a threshold of \(probability ?? 0) and a smoothing of \(smoothing); expected 0 to 1")
        }
        self.probability = probability
        self.smoothing = smoothing
    }

    public init() {
        probability = nil
        smoothing = 0.5
    }
}

/// From the network's answers to labels: calibrated, smoothed over the answers, unknown under the threshold. It computes what
/// `calibrated` and `Naming` of `edgeskel.runtime.events` do, to the bit.
struct Naming {
    private let labels: [String]
    private let temperature: Double
    private let threshold: Double
    private let kept: Float
    private var smooth: [Float]?

    init(labels: [String], certainty: Certainty, thresholds: Thresholds) {
        self.labels = labels
        temperature = certainty.temperature
        threshold = thresholds.probability ?? certainty.threshold
        kept = thresholds.smoothing
    }

    /// The next answer is about somebody else, or comes after nobody was there.
    mutating func clear() {
        smooth = nil
    }

    /// `time` in seconds, the end of what the network saw.
    mutating func push(_ output: Output, _ time: Double) -> Recognition {
        let sure = calibrated(output.probabilities, temperature)
        var present = sure
        if let earlier = smooth {
            for index in present.indices {
                present[index] = kept * earlier[index] + (1 - kept) * sure[index]
            }
        }
        smooth = present
        var best = 0
        for index in present.indices where present[index] > present[best] {
            best = index
        }
        let label = Double(present[best]) >= threshold ? labels[best] : Recognition.unknown
        return Recognition(label: label, probability: present[best], probabilities: present, embedding: output.embedding, time: time)
    }
}

/// As if the logits had been divided by the temperature (Guo et al. 2017, arXiv 1706.04599).
func calibrated(_ probabilities: [Float], _ temperature: Double) -> [Float] {
    if temperature == 1 { return probabilities }
    let least: Float = 1e-30 // the logarithm of 0 is none
    let logits = probabilities.map { log(Double(max($0, least))) }
    let top = logits.max() ?? 0
    let powers = logits.map { exp(($0 - top) / temperature) }
    let total = powers.reduce(0, +)
    return powers.map { Float($0 / total) }
}
