package edgeskel

/** What the network answers: K probabilities in the order of the labels, and the embedding. */
class Output(val probabilities: FloatArray, val embedding: FloatArray)

/** Runs one window. [edgeskel.android.ExecutorchNetwork] is the one that runs a `.pte` file. */
interface Network {
    fun run(input: Input): Output
}

/**
 * When a recognition counts; the defaults are those of `edgeskel.runtime.EventConfig`.
 *
 * @param probability under which the answer is no action.
 * @param smoothing share of the earlier answers in the present one, 0 to 1.
 */
class Thresholds(val probability: Float = 0.5f, val smoothing: Float = 0.5f) {
    init {
        if (!(probability >= 0f && probability <= 1f) || !(smoothing >= 0f && smoothing <= 1f)) {
            throw BadInput("a threshold of $probability and a smoothing of $smoothing; expected 0 to 1")
        }
    }
}

/**
 * What the last window shows.
 *
 * @param label the most probable action, or null where none reaches the threshold.
 * @param probability of the most probable action, smoothed over the hops.
 * @param probabilities K, smoothed over the hops.
 * @param embedding D, of this window.
 * @param time seconds, the end of the window on the source's clock.
 */
class Recognition(
    val label: String?,
    val probability: Float,
    val probabilities: FloatArray,
    val embedding: FloatArray,
    val time: Double
)

/**
 * Live frames in, recognitions out: the twin of `edgeskel.runtime.Session.push`. Not for several threads at once.
 *
 * Frames may come at any rate and with jitter. Until S of them have been seen, the graph stretches those that there are.
 */
class Recogniser(val manifest: Manifest, private val network: Network, private val thresholds: Thresholds = Thresholds()) {
    private val window = manifest.window
    private val size = manifest.joints.size
    private lateinit var resampler: Resampler
    private lateinit var ring: Ring
    private var latest = 0.0
    private var waiting = 0 // frames since the last recognition
    private var smoothed: FloatArray? = null

    init {
        reset()
    }

    /** Forgets the frames: a source starts anew, its clock may start anew too. */
    fun reset() {
        resampler = Resampler(window.rateHz, window.persons, size)
        ring = Ring(window.persons, window.frames, size)
        latest = Double.NEGATIVE_INFINITY
        waiting = 0
        smoothed = null
    }

    /**
     * Takes a frame; every `hop` frames of the window's clock it recognises the last S.
     *
     * @param frame of the bundle's topology, later than the one before, its M persons in the same places as before.
     * @param replaced true where another person than before stands; null where nobody has changed.
     * @return null in between, and while nobody is in the window.
     * @throws BadInput the frame breaks the contract, or its time does not increase.
     */
    fun push(frame: Frame, replaced: BooleanArray? = null): Recognition? {
        if (frame.time.isNaN() || frame.time.isInfinite() || frame.time <= latest) {
            throw BadInput("a frame of time ${frame.time} s follows one of $latest s; call reset() when a source starts again")
        }
        frame.check(window.persons, size)
        if (replaced != null && replaced.size != window.persons) {
            throw BadInput("replaced tells of ${replaced.size} persons; expected ${window.persons}")
        }
        if (frame.time - latest > window.frames / window.rateHz) {
            reset() // nothing of what was seen before the pause is in the window any more
        }
        latest = frame.time
        for (person in 0 until window.persons) {
            if (replaced != null && replaced[person]) ring.forget(person)
        }
        var due = false
        var end = 0.0
        for (settled in resampler.push(frame, replaced)) {
            ring.push(settled)
            end = settled.time
            waiting += 1
            if (waiting >= window.hop) {
                waiting = 0
                due = true
            }
        }
        return if (due) recognise(end) else null
    }

    private fun recognise(time: Double): Recognition? {
        val input = ring.window()
        if (input.confidence.none { it > 0f }) {
            smoothed = null
            return null
        }
        val output = network.run(input)
        if (output.probabilities.size != manifest.labels.size || output.probabilities.any { it.isNaN() || it.isInfinite() }) {
            throw BadBundle("the network answered with ${output.probabilities.size} probabilities, or with NaN; expected " +
                "${manifest.labels.size}: run edgeskel verify on the bundle")
        }
        val kept = smoothed
        val probabilities = if (kept == null) output.probabilities else FloatArray(kept.size) {
            thresholds.smoothing * kept[it] + (1 - thresholds.smoothing) * output.probabilities[it]
        }
        smoothed = probabilities
        var best = 0
        for (index in probabilities.indices) {
            if (probabilities[index] > probabilities[best]) best = index
        }
        val label = if (probabilities[best] >= thresholds.probability) manifest.labels[best] else null
        return Recognition(label, probabilities[best], probabilities, output.embedding, time)
    }
}
