package edgeskel.android

import edgeskel.BadBundle
import edgeskel.Input
import edgeskel.Manifest
import edgeskel.Network
import edgeskel.Output
import edgeskel.StepNetwork
import edgeskel.StepOutput
import java.io.Closeable
import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** Runs a `.pte` artifact that takes windows with ExecuTorch's own Android library. Use it from one thread at a time. */
class ExecutorchNetwork(artifact: File, manifest: Manifest) : Network, Closeable {
    private val module = Module.load(artifact.path)
    private val shape = frames(manifest.window.persons, manifest.window.frames, manifest)

    override fun run(input: Input): Output {
        val outputs = module.forward(*values(input, shape))
        if (outputs.size < 2) {
            throw BadBundle("ExecuTorch gave ${outputs.size} outputs; expected probabilities and embedding")
        }
        return output(outputs)
    }

    override fun close() = module.destroy()
}

/** Runs a `.pte` artifact that takes steps with ExecuTorch's own Android library. Use it from one thread at a time. */
class ExecutorchStepNetwork(artifact: File, manifest: Manifest) : StepNetwork, Closeable {
    private val form = manifest.step ?: throw BadBundle("the manifest does not say how its steps are fed; export anew")
    private val module = Module.load(artifact.path)
    private val shape = frames(1, form.frames, manifest)
    private val states = form.states.map { state -> LongArray(state.size) { state[it].toLong() } }

    override fun step(input: Input, state: List<FloatArray>): StepOutput {
        val before = state.mapIndexed { index, values -> EValue.from(Tensor.fromBlob(values, states[index])) }
        val outputs = module.forward(*values(input, shape), *before.toTypedArray())
        if (outputs.size != 2 + states.size) {
            throw BadBundle("ExecuTorch gave ${outputs.size} outputs; expected probabilities, embedding and ${states.size} of state")
        }
        return StepOutput(output(outputs), outputs.drop(2).map { it.toTensor().dataAsFloatArray })
    }

    override fun close() = module.destroy()
}

private fun frames(persons: Int, frames: Int, manifest: Manifest) =
    longArrayOf(1, persons.toLong(), frames.toLong(), manifest.joints.size.toLong())

private fun values(input: Input, shape: LongArray) = arrayOf(
    EValue.from(Tensor.fromBlob(input.joints, shape + 3L)),
    EValue.from(Tensor.fromBlob(input.confidence, shape))
)

private fun output(outputs: Array<EValue>) =
    Output(outputs[0].toTensor().dataAsFloatArray, outputs[1].toTensor().dataAsFloatArray)
