package edgeskel

/** What a network is given: M * S * V * 3 metres and M * S * V confidences of M persons and S frames, flat, oldest frame first. */
class Input(val joints: FloatArray, val confidence: FloatArray)

/** What a network answers: K probabilities in the order of the labels, and the embedding. */
class Output(val probabilities: FloatArray, val embedding: FloatArray) {
    /** The answer itself, when it is one. */
    internal fun checked(manifest: Manifest): Output {
        fun FloatArray.broken() = any { it.isNaN() || it.isInfinite() }
        if (probabilities.size != manifest.labels.size || probabilities.broken() || embedding.broken()) {
            throw BadBundle("the network answered with ${probabilities.size} probabilities, or with NaN; expected " +
                "${manifest.labels.size}: run edgeskel verify on the bundle")
        }
        return this
    }
}

/** Runs one window. [edgeskel.android.ExecutorchNetwork] is the one that runs a `.pte` file. */
interface Network {
    fun run(input: Input): Output
}

/** How an artifact that takes steps is fed: [frames] at a time, and a state of tensors of these shapes, all zeros at the start. */
class StepForm(val frames: Int, val states: List<IntArray>)

/** What a step answers: [output] as of the last of its frames, and the state for the next step, flat. */
class StepOutput(val output: Output, val state: List<FloatArray>)

/** Runs one step. [edgeskel.android.ExecutorchStepNetwork] is the one that runs a `.pte` file. */
interface StepNetwork {
    /**
     * @param input of one person and the step's frames.
     * @param state what the step before gave, flat, in the order of [StepForm.states].
     */
    fun step(input: Input, state: List<FloatArray>): StepOutput
}
