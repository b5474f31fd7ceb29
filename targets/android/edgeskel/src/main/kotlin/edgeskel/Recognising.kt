package edgeskel

/** Something that the network said, or null where nobody was there to be seen; [time] is the end of what it saw. */
internal class Answer(val time: Double, val output: Output?)

/** The two ways from frames on the window's clock to answers. */
internal interface Recognising {
    /** Nothing has been seen. */
    fun reset()

    /** Another person stands in that place now. */
    fun forget(person: Int)

    /** @return what the frames brought, in the order of time; mostly nothing. */
    fun push(settled: List<Frame>): List<Answer>
}

/** Every `hop` frames, the last S of them. Until S have been seen, the graph stretches those that there are. */
internal class ByWindow(private val manifest: Manifest, private val network: Network) : Recognising {
    private val window = manifest.window
    private var ring = fresh()
    private var waiting = 0 // frames since the last answer

    private fun fresh() = Ring(window.persons, window.frames, manifest.joints.size)

    override fun reset() {
        ring = fresh()
        waiting = 0
    }

    override fun forget(person: Int) = ring.forget(person)

    override fun push(settled: List<Frame>): List<Answer> {
        var due = false
        for (frame in settled) {
            ring.push(frame)
            waiting += 1
            if (waiting >= window.hop) {
                waiting = 0
                due = true
            }
        }
        if (!due) return emptyList()
        val input = ring.window()
        val somebody = input.confidence.any { it > 0f }
        return listOf(Answer(settled.last().time, if (somebody) network.run(input).checked(manifest) else null))
    }
}

/** The answer itself, when it is one. */
internal fun Output.checked(manifest: Manifest): Output {
    fun FloatArray.broken() = any { it.isNaN() || it.isInfinite() }
    if (probabilities.size != manifest.labels.size || probabilities.broken() || embedding.broken()) {
        throw BadBundle("the network answered with ${probabilities.size} probabilities, or with NaN; expected " +
            "${manifest.labels.size}: run edgeskel verify on the bundle")
    }
    return this
}
