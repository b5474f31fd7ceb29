/// What a network is given: M * S * V * 3 metres and M * S * V confidences of M persons and S frames, flat, oldest frame first.
public struct Input: Sendable {
    public let joints: [Float]
    public let confidence: [Float]
}

/// What a network answers: K probabilities in the order of the labels, and the embedding.
public struct Output: Sendable {
    public let probabilities: [Float]
    public let embedding: [Float]

    public init(probabilities: [Float], embedding: [Float]) {
        self.probabilities = probabilities
        self.embedding = embedding
    }

    /// The answer itself, when it is one.
    func checked(_ manifest: Manifest) throws -> Output {
        guard probabilities.count == manifest.labels.count, probabilities.allSatisfy(\.isFinite), embedding.allSatisfy(\.isFinite) else {
            throw BadBundle("the network answered with \(probabilities.count) probabilities, or with NaN; expected "
                + "\(manifest.labels.count): run edgeskel verify on the bundle")
        }
        return self
    }
}

/// Runs one window. `ExecutorchNetwork` is the one that runs a `.pte` file.
public protocol Network {
    func run(_ input: Input) throws -> Output
}

/// How an artifact that takes steps is fed.
public struct StepForm: Sendable {
    /// Frames of one step.
    public let frames: Int
    /// Shape of each tensor of the state, which is all zeros at the start.
    public let states: [[Int]]
}

/// What a step answers: as of the last of its frames, and the state for the next step, flat.
public struct StepOutput: Sendable {
    public let output: Output
    public let state: [[Float]]

    public init(output: Output, state: [[Float]]) {
        self.output = output
        self.state = state
    }
}

/// Runs one step. `ExecutorchStepNetwork` is the one that runs a `.pte` file.
public protocol StepNetwork {
    /// `input` is of one person and the step's frames, `state` what the step before gave, flat, in the order of `StepForm.states`.
    func step(_ input: Input, _ state: [[Float]]) throws -> StepOutput
}
