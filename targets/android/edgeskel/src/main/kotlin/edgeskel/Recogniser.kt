package edgeskel

/** What the network answers: K probabilities in the order of the labels, and the embedding. */
class Output(val probabilities: FloatArray, val embedding: FloatArray)

/** Runs one window. [edgeskel.android.ExecutorchNetwork] is the one that runs a `.pte` file. */
interface Network {
    fun run(input: Input): Output
}

/**
 * What the last window, or the last step, shows.
 *
 * @param label the most probable action, or [UNKNOWN] where none reaches the threshold.
 * @param probability of the most probable action.
 * @param probabilities K, calibrated by the bundle's temperature and smoothed over the answers.
 * @param embedding D, of this window or step.
 * @param time seconds, its end on the source's clock.
 */
class Recognition(
    val label: String,
    val probability: Float,
    val probabilities: FloatArray,
    val embedding: FloatArray,
    val time: Double
)

/**
 * Live frames in, recognitions out, by window (the twin of `edgeskel.runtime.Session.push`) or frame by frame. Not for several
 * threads at once.
 *
 * Frames may come at any rate and with jitter.
 */
class Recogniser private constructor(val manifest: Manifest, private val recognising: Recognising, thresholds: Thresholds) {
    private val window = manifest.window
    private val size = manifest.joints.size
    private val naming = Naming(manifest.labels, manifest.certainty, thresholds)
    private lateinit var resampler: Resampler
    private var latest = 0.0

    /** Recognises the last S frames every `hop` frames. */
    constructor(manifest: Manifest, network: Network, thresholds: Thresholds = Thresholds()) :
        this(manifest, ByWindow(manifest, network), thresholds)

    /**
     * Recognises frame by frame.
     *
     * @throws BadBundle the manifest does not say how steps are fed.
     */
    constructor(manifest: Manifest, network: StepNetwork, thresholds: Thresholds = Thresholds()) :
        this(manifest, ByFrame(manifest, network), thresholds)

    init {
        reset()
    }

    /** Forgets the frames: a source starts anew, its clock may start anew too. */
    fun reset() {
        resampler = Resampler(window.rateHz, window.persons, size)
        recognising.reset()
        naming.clear()
        latest = Double.NEGATIVE_INFINITY
    }

    /**
     * Takes a frame; by window it recognises every `hop` frames of the window's clock, frame by frame whenever a step is full.
     *
     * @param frame of the bundle's topology, later than the one before, its M persons in the same places as before.
     * @param replaced true where another person than before stands; null where nobody has changed.
     * @return null in between, and while nobody has been there for S frames.
     * @throws BadInput the frame breaks the contract, or its time does not increase.
     * @throws BadBundle the network's answer is none.
     */
    fun push(frame: Frame, replaced: BooleanArray? = null): Recognition? {
        if (frame.time.isNaN() || frame.time.isInfinite() || frame.time <= latest) {
            throw BadInput("a frame of time ${frame.time} s follows one of $latest s; call reset() when a source starts again")
        }
        if (Math.abs(frame.time) > LATEST) {
            throw BadInput("a frame of time ${frame.time} counts something smaller than seconds; divide the times by their unit")
        }
        frame.check(window.persons, size)
        if (replaced != null && replaced.size != window.persons) {
            throw BadInput("replaced tells of ${replaced.size} persons; expected ${window.persons}")
        }
        if (frame.time - latest > window.frames / window.rateHz) {
            reset() // nothing of what was seen before the pause is in the window any more
        }
        latest = frame.time
        if (replaced != null) {
            for (person in replaced.indices) {
                if (replaced[person]) recognising.forget(person)
            }
            if (replaced.all { it }) naming.clear()
        }
        var seen: Recognition? = null
        for (answer in recognising.push(resampler.push(frame, replaced))) {
            if (answer.output == null) naming.clear()
            seen = answer.output?.let { naming.push(it, answer.time) }
        }
        return seen
    }

    private companion object {
        const val LATEST = 1e11 // seconds, three thousand years
    }
}
