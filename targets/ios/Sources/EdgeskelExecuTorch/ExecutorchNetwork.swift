import Edgeskel
import ExecuTorch
import Foundation

/// Runs a `.pte` artifact that takes windows with ExecuTorch's own Swift package. Use it from one thread at a time.
public final class ExecutorchNetwork: Network {
    private let module: Module
    private let shape: [Int]

    /// Throws where ExecuTorch refuses the file.
    public init(_ artifact: URL, _ manifest: Manifest) throws {
        module = Module(filePath: artifact.path)
        shape = [1, manifest.window.persons, manifest.window.frames, manifest.joints.count]
        try module.load("forward")
    }

    public func run(_ input: Input) throws -> Output {
        let outputs: [Value] = try module.forward(tensors(input, shape))
        guard outputs.count >= 2 else {
            throw BadBundle("ExecuTorch gave \(outputs.count) outputs; expected probabilities and embedding")
        }
        return Output(probabilities: try scalars(outputs[0]), embedding: try scalars(outputs[1]))
    }
}

/// Runs a `.pte` artifact that takes steps with ExecuTorch's own Swift package. Use it from one thread at a time.
public final class ExecutorchStepNetwork: StepNetwork {
    private let module: Module
    private let shape: [Int]
    private let states: [[Int]]

    /// Throws where ExecuTorch refuses the file, and `BadBundle` where the manifest does not say how steps are fed.
    public init(_ artifact: URL, _ manifest: Manifest) throws {
        guard let form = manifest.step else { throw BadBundle("the manifest does not say how its steps are fed; export anew") }
        module = Module(filePath: artifact.path)
        shape = [1, 1, form.frames, manifest.joints.count]
        states = form.states
        try module.load("forward")
    }

    public func step(_ input: Input, _ state: [[Float]]) throws -> StepOutput {
        let before = zip(state, states).map { Tensor<Float>($0, shape: $1) }
        let outputs: [Value] = try module.forward(tensors(input, shape) + before)
        guard outputs.count == 2 + states.count else {
            throw BadBundle("ExecuTorch gave \(outputs.count) outputs; expected probabilities, embedding and \(states.count) of state")
        }
        let output = Output(probabilities: try scalars(outputs[0]), embedding: try scalars(outputs[1]))
        return StepOutput(output: output, state: try outputs.dropFirst(2).map(scalars))
    }
}

private func tensors(_ input: Input, _ shape: [Int]) -> [Tensor<Float>] {
    [Tensor<Float>(input.joints, shape: shape + [3]), Tensor<Float>(input.confidence, shape: shape)]
}

private func scalars(_ value: Value) throws -> [Float] {
    guard let tensor: Tensor<Float> = value.tensor() else { throw BadBundle("ExecuTorch gave no tensor of float32; export anew") }
    return tensor.scalars()
}

public extension Session {
    /// A bundle's folder, such as one among the app's resources: checks the manifest and the artifact, loads the network.
    ///
    /// Only `manifest.json`, `manifest.sha256` and the artifact are needed: the other files of a bundle may stay out of the app.
    /// `precision` is fp32 or int8; nil takes the one that the bundle lists first. `threshold` nil is the bundle's own. `mode` nil streams
    /// where the bundle has an artifact for it (`model.step.pte`), else takes windows. `maxPersons` are followed at a time, where the
    /// recogniser sees one at a time. Throws `BadBundle` when something was altered.
    convenience init(bundle: URL, precision: String? = nil, threshold: Double? = nil, mode: Mode? = nil, maxPersons: Int = 4) throws {
        let seal = try? String(contentsOf: bundle.appendingPathComponent(Manifest.seal), encoding: .utf8)
        let manifest = try Manifest(Data(contentsOf: bundle.appendingPathComponent("manifest.json")), seal: seal)
        let artifact = try manifest.artifact(precision, mode: mode)
        let file = bundle.appendingPathComponent(artifact.file)
        try manifest.check(artifact.file, Data(contentsOf: file, options: .mappedIfSafe))
        let config = try manifest.events(threshold: threshold)
        if artifact.form == "step" {
            try self.init(manifest, stepping: ExecutorchStepNetwork(file, manifest), config: config, maxPersons: maxPersons)
        } else {
            try self.init(manifest, ExecutorchNetwork(file, manifest), config: config, maxPersons: maxPersons)
        }
    }
}
