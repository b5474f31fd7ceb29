package edgeskel.android

import edgeskel.BadBundle
import edgeskel.Input
import edgeskel.Manifest
import edgeskel.Network
import edgeskel.Output
import java.io.Closeable
import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** Runs a `.pte` artifact with ExecuTorch's own Android library. Use it from one thread at a time. */
class ExecutorchNetwork(artifact: File, manifest: Manifest) : Network, Closeable {
    private val module = Module.load(artifact.path)
    private val shape = longArrayOf(
        1, manifest.window.persons.toLong(), manifest.window.frames.toLong(), manifest.joints.size.toLong()
    )

    override fun run(input: Input): Output {
        val outputs = module.forward(
            EValue.from(Tensor.fromBlob(input.joints, shape + 3L)),
            EValue.from(Tensor.fromBlob(input.confidence, shape))
        )
        if (outputs.size < 2) {
            throw BadBundle("ExecuTorch gave ${outputs.size} outputs; expected probabilities and embedding")
        }
        return Output(outputs[0].toTensor().dataAsFloatArray, outputs[1].toTensor().dataAsFloatArray)
    }

    override fun close() = module.destroy()
}
