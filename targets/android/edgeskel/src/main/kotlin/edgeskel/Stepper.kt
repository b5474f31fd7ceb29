package edgeskel

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

/**
 * Frame by frame: the twin of `edgeskel.runtime.stepping.Stepper`. Nothing is answered while nobody has been seen for S frames, and
 * who comes then is somebody never seen before.
 */
internal class ByFrame(private val manifest: Manifest, private val network: StepNetwork) : Recognising {
    private val form = manifest.step ?: throw BadBundle("the manifest does not say how its steps are fed ('step' is missing); export anew")
    private val size = manifest.joints.size
    private val joints = FloatArray(form.frames * size * 3)
    private val confidence = FloatArray(form.frames * size)
    private val sizes = form.states.map { shape -> shape.fold(1) { product, next -> product * next } }
    private var state = fresh()
    private var filled = 0 // frames of the step that is being filled
    private var unseen = manifest.window.frames // frames since somebody was seen

    init {
        if (manifest.window.persons != 1) {
            throw BadBundle("steps of ${manifest.window.persons} persons; expected 1: export anew")
        }
    }

    private fun fresh() = sizes.map { FloatArray(it) }

    override fun reset() {
        state = fresh()
        filled = 0
        unseen = manifest.window.frames
    }

    override fun forget(person: Int) = reset()

    override fun push(settled: List<Frame>): List<Answer> = settled.mapNotNull { frame ->
        unseen = if (frame.confidence.any { it > 0f }) 0 else unseen + 1
        if (unseen < manifest.window.frames) {
            fill(frame)?.let { Answer(frame.time, it) }
        } else {
            reset()
            Answer(frame.time, null)
        }
    }

    private fun fill(frame: Frame): Output? {
        System.arraycopy(frame.joints, 0, joints, filled * size * 3, size * 3)
        System.arraycopy(frame.confidence, 0, confidence, filled * size, size)
        filled += 1
        if (filled < form.frames) return null
        filled = 0
        val answer = network.step(Input(joints.copyOf(), confidence.copyOf()), state)
        val seen = answer.state.map { it.size }
        if (seen != sizes) {
            throw BadBundle("a step gave a state of $seen values; expected $sizes: run edgeskel verify on the bundle")
        }
        try {
            answer.output.checked(manifest)
        } catch (error: BadBundle) {
            reset() // a state once spoilt stays so
            throw error
        }
        state = answer.state
        return answer.output
    }
}
