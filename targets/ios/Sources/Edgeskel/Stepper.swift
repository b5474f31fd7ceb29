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

/// Frame by frame: the twin of `edgeskel.runtime.stepping.Stepper`. Nothing is answered while nobody has been seen for S frames, and
/// who comes then is somebody never seen before.
struct ByFrame: Recognising {
    private let manifest: Manifest
    private let network: StepNetwork
    private let frames: Int
    private let sizes: [Int]
    private var joints: [Float] = []
    private var confidence: [Float] = []
    private var state: [[Float]]
    private var filled = 0 // frames of the step that is being filled
    private var unseen: Int // frames since somebody was seen

    init(_ manifest: Manifest, _ network: StepNetwork) throws {
        guard let form = manifest.step else {
            throw BadBundle("the manifest does not say how its steps are fed ('step' is missing); export anew")
        }
        guard manifest.window.persons == 1 else {
            throw BadBundle("steps of \(manifest.window.persons) persons; expected 1: export anew")
        }
        self.manifest = manifest
        self.network = network
        frames = form.frames
        sizes = form.states.map { $0.reduce(1, *) }
        state = sizes.map { [Float](repeating: 0, count: $0) }
        unseen = manifest.window.frames
    }

    mutating func reset() {
        state = sizes.map { [Float](repeating: 0, count: $0) }
        joints.removeAll(keepingCapacity: true)
        confidence.removeAll(keepingCapacity: true)
        filled = 0
        unseen = manifest.window.frames
    }

    mutating func forget(_ person: Int) {
        reset()
    }

    mutating func push(_ settled: [Frame]) throws -> [Answer] {
        var answers: [Answer] = []
        for frame in settled {
            unseen = frame.confidence.contains { $0 > 0 } ? 0 : unseen + 1
            if unseen >= manifest.window.frames {
                reset()
                answers.append(Answer(time: frame.time, output: nil))
            } else if let output = try fill(frame) {
                answers.append(Answer(time: frame.time, output: output))
            }
        }
        return answers
    }

    private mutating func fill(_ frame: Frame) throws -> Output? {
        joints += frame.joints
        confidence += frame.confidence
        filled += 1
        if filled < frames { return nil }
        let input = Input(joints: joints, confidence: confidence)
        joints.removeAll(keepingCapacity: true)
        confidence.removeAll(keepingCapacity: true)
        filled = 0
        let answer = try network.step(input, state)
        let seen = answer.state.map(\.count)
        guard seen == sizes else {
            throw BadBundle("a step gave a state of \(seen) values; expected \(sizes): run edgeskel verify on the bundle")
        }
        do {
            _ = try answer.output.checked(manifest)
        } catch {
            reset() // a state once spoilt stays so
            throw error
        }
        state = answer.state
        return answer.output
    }
}
