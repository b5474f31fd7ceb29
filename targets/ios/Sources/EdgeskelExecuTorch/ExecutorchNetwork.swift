import Edgeskel
import ExecuTorch
import Foundation

/// Runs a `.pte` artifact with ExecuTorch's own Swift package. Use it from one thread at a time.
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
        let joints = Tensor<Float>(input.joints, shape: shape + [3])
        let confidence = Tensor<Float>(input.confidence, shape: shape)
        let outputs: [Value] = try module.forward([joints, confidence])
        guard outputs.count >= 2,
              let probabilities: Tensor<Float> = outputs[0].tensor(),
              let embedding: Tensor<Float> = outputs[1].tensor() else {
            throw BadBundle("ExecuTorch gave \(outputs.count) outputs; expected probabilities and embedding")
        }
        return Output(probabilities: probabilities.scalars(), embedding: embedding.scalars())
    }
}

public extension Recogniser {
    /// A bundle's folder, such as one among the app's resources: checks the manifest and the artifact, loads the network.
    ///
    /// Only `manifest.json` and the artifact are needed: the other files of a bundle may stay out of the app. `precision`
    /// is fp32 or int8; nil takes the one that the bundle lists first. Throws `BadBundle` when something was altered.
    convenience init(bundle: URL, precision: String? = nil, thresholds: Thresholds = Thresholds()) throws {
        let manifest = try Manifest(String(contentsOf: bundle.appendingPathComponent("manifest.json"), encoding: .utf8))
        let artifact = try manifest.artifact(precision).file
        let file = bundle.appendingPathComponent(artifact)
        try manifest.check(artifact, Data(contentsOf: file, options: .mappedIfSafe))
        self.init(manifest, try ExecutorchNetwork(file, manifest), thresholds)
    }
}
