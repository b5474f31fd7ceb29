package edgeskel

/** What one person, or one scene, is recognised with: as `edgeskel.runtime` has it. */
internal interface LiveRecogniser {
    /** Takes a frame at the recogniser's rate, which the segmenter has seen; an answer when one is due. */
    fun push(frame: Frame, segmenter: Segmenter): Output?

    /** The answer for an action that has ended. */
    fun last(stretch: Stretch): Output?
}

/** The stretch of motion so far every `hop` frames, and all of it when it has ended, fitted into the window. */
internal class SlidingWindow(private val manifest: Manifest, private val network: Network) : LiveRecogniser {
    private val window = manifest.window
    private var waiting = 0

    override fun push(frame: Frame, segmenter: Segmenter): Output? {
        waiting += 1
        if (!segmenter.moving || waiting < window.hop) return null
        waiting = 0
        return segmenter.openStretch()?.let { last(it) }
    }

    override fun last(stretch: Stretch): Output? {
        if (stretch.frames.none { frame -> frame.confidence.any { it > 0f } }) return null
        return network.run(fit(stretch.frames, window, manifest.joints.size)).checked(manifest)
    }
}

/**
 * Frames of any number in one window: the twin of `edgeskel.window.fit_window`. Fewer than S stay as they are, and the rest of the
 * window has confidence 0; more are resampled.
 */
internal fun fit(frames: List<Frame>, window: Window, size: Int): Input {
    val joints = FloatArray(window.persons * window.frames * size * 3)
    val confidence = FloatArray(window.persons * window.frames * size)
    val stretched = frames.size > window.frames
    for (place in 0 until Math.min(frames.size, window.frames)) {
        val position = if (!stretched) place.toDouble() else position(place, window.frames, frames.size)
        val before = if (stretched) Math.min(position.toInt(), frames.size - 2) else place
        val share = (position - before).toFloat()
        for (index in 0 until window.persons * size) {
            val person = index / size
            val to = (person * window.frames + place) * size + index % size
            val earlier = frames[before]
            if (!stretched) {
                confidence[to] = earlier.confidence[index]
                if (confidence[to] > 0f) for (axis in 0..2) joints[3 * to + axis] = earlier.joints[3 * index + axis]
                continue
            }
            val later = frames[before + 1]
            val weightBefore = (1 - share) * earlier.confidence[index]
            val weightAfter = share * later.confidence[index]
            confidence[to] = weightBefore + weightAfter
            if (confidence[to] <= 0f) continue
            for (axis in 0..2) {
                val a = if (earlier.confidence[index] > 0f) earlier.joints[3 * index + axis] else 0f
                val b = if (later.confidence[index] > 0f) later.joints[3 * index + axis] else 0f
                joints[3 * to + axis] = (weightBefore * a + weightAfter * b) / Math.max(confidence[to], 1e-9f)
            }
        }
    }
    return Input(joints, confidence)
}

/** Where place p of S lies among T frames: 0 is the first of them, T - 1 the last. */
private fun position(place: Int, count: Int, frames: Int): Double =
    if (count == 1) 0.0 else if (place == count - 1) frames - 1.0 else place * ((frames - 1.0) / (count - 1))

/**
 * Steps through the frames of an action, from the moment of rest before it on: as `edgeskel.runtime` does.
 * Every action is seen by a network without a past. The moment before the motion is known to be one is caught up with two steps at a
 * time.
 */
internal class Streaming(private val manifest: Manifest, private val network: StepNetwork) : LiveRecogniser {
    private class Timed(val time: Double, val output: Output)

    private val form = manifest.step ?: throw BadBundle("the manifest does not say how its steps are fed ('step' is missing); export anew")
    private var stream = StreamState(manifest, form)
    private val answers = ArrayList<Timed>()
    private var waiting = ArrayList<Frame>()
    private var began: Double? = null

    init {
        if (manifest.window.persons != 1) {
            throw BadBundle("steps of ${manifest.window.persons} persons; expected 1: export anew")
        }
    }

    override fun push(frame: Frame, segmenter: Segmenter): Output? {
        if (!segmenter.moving) return null
        if (segmenter.began == began) {
            waiting.add(frame)
        } else {
            stream = StreamState(manifest, form)
            answers.clear()
            waiting = ArrayList(segmenter.openStretch()!!.frames)
            began = segmenter.began
        }
        return catchUp(2 * form.frames)
    }

    override fun last(stretch: Stretch): Output? {
        catchUp(waiting.size)
        return (answers.lastOrNull { it.time <= stretch.end } ?: answers.lastOrNull())?.output
    }

    /** Steps through that many of the frames that wait; the newest answer, if there is one. */
    private fun catchUp(limit: Int): Output? {
        var answer: Output? = null
        val next = waiting.take(limit)
        for (frame in next) {
            answer = stream.push(frame, network)?.also {
                answers.add(Timed(frame.time, it))
                if (answers.size > KEPT) answers.removeAt(0)
            } ?: answer
        }
        waiting.subList(0, next.size).clear()
        return answer
    }

    private companion object {
        const val KEPT = 16 // the end of an action is known half a second late
    }
}

/** What is kept of one person between two frames: as `edgeskel.runtime.stepping` has it. */
internal class StreamState(private val manifest: Manifest, private val form: StepForm) {
    private val size = manifest.joints.size
    private val sizes = form.states.map { shape -> shape.fold(1) { product, next -> product * next } }
    private val joints = FloatArray(form.frames * size * 3)
    private val confidence = FloatArray(form.frames * size)
    private var state = fresh()
    private var filled = 0 // frames of the step that is being filled

    private fun fresh() = sizes.map { FloatArray(it) }

    /** Takes a frame of one person; the answer when it fills a step. */
    fun push(frame: Frame, network: StepNetwork): Output? {
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
            state = fresh() // a state once spoilt stays so
            throw error
        }
        state = answer.state
        return answer.output
    }
}
