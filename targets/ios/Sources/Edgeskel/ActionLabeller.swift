import Foundation

/// A label and the calibrated probability of the likeliest class.
struct Prediction {
    let label: String
    let confidence: Float
}

/// The name of the action that goes on, with hysteresis: as `edgeskel.runtime.events` has it.
struct ActionLabeller {
    private let labels: [String]
    private let config: EventConfig
    /// Of the action that goes on, once it was named.
    private(set) var label: String?
    /// K, calibrated and smoothed over the answers to the action that goes on.
    private(set) var smooth: [Float]?
    private var leader = -1
    private var agreed = 0

    init(_ labels: [String], _ config: EventConfig) {
        self.labels = labels
        self.config = config
    }

    /// The next action is another one.
    mutating func clear() {
        label = nil
        smooth = nil
        leader = -1
        agreed = 0
    }

    /// Takes an answer, K calibrated; the label and its probability when they are new.
    mutating func push(_ probabilities: [Float]) -> Prediction? {
        let kept = Float(config.smoothing)
        let present = smooth.map { earlier in zip(earlier, probabilities).map { kept * $0 + (1 - kept) * $1 } } ?? probabilities
        smooth = present
        let first = largest(present)
        if Double(present[first]) < config.begin {
            agreed = 0
            return nil
        }
        agreed = first == leader ? agreed + 1 : 1
        leader = first
        if agreed < config.confirm || labels[first] == label { return nil }
        label = labels[first]
        return Prediction(label: labels[first], confidence: present[first])
    }

    /// What an action was that ended with this answer, K calibrated.
    func last(_ probabilities: [Float]) -> Prediction {
        let best = largest(probabilities)
        let label = Double(probabilities[best]) >= config.threshold ? labels[best] : Event.unknown
        return Prediction(label: label, confidence: probabilities[best])
    }

    private func largest(_ values: [Float]) -> Int {
        var best = 0
        for index in values.indices where values[index] > values[best] { best = index }
        return best
    }
}

/// As if the logits had been divided by the temperature (Guo et al. 2017, arXiv 1706.04599).
func calibrated(_ probabilities: [Float], _ temperature: Double) -> [Float] {
    if temperature == 1 { return probabilities }
    let logits = probabilities.map { log(Double(max($0, 1e-30))) } // the logarithm of 0 is none
    let top = logits.max() ?? 0
    let powers = logits.map { exp(($0 - top) / temperature) }
    let total = powers.reduce(0, +)
    return powers.map { Float($0 / total) }
}
