package edgeskel

/**
 * Live frames in, events out: the twin of `edgeskel.runtime.Session.step`, which docs/live.md specifies. Not for several threads at once.
 *
 * Frames may come at any rate, with jitter and pauses, with any number of persons in any order. What is wrong with a frame never ends
 * the session; it is counted in [refused].
 */
class Session private constructor(
    val manifest: Manifest,
    val config: EventConfig,
    private val maxPersons: Int,
    private val recogniser: () -> LiveRecogniser
) {
    private val size = manifest.joints.size
    private lateinit var arrivals: Arrivals
    private lateinit var tracks: Tracks
    private lateinit var slots: Slots
    private val known = java.util.TreeMap<Int, PersonState>()
    private var now = 0.0

    /**
     * Recognises the motion so far again and again.
     *
     * @param config when scores become events.
     * @param maxPersons persons that are followed at a time, where the recogniser sees one at a time.
     */
    constructor(manifest: Manifest, network: Network, config: EventConfig = manifest.events(), maxPersons: Int = 4) :
        this(manifest, config, maxPersons, { SlidingWindow(manifest, network) })

    /**
     * Recognises frame by frame.
     *
     * @throws BadBundle the manifest does not say how steps are fed.
     */
    constructor(manifest: Manifest, network: StepNetwork, config: EventConfig = manifest.events(), maxPersons: Int = 4) :
        this(manifest, config, maxPersons, { Streaming(manifest, network) })

    init {
        recogniser() // refuses now what it would refuse with the first person
        reset()
    }

    /** What was not taken since the start, counted by the reason. */
    val refused: Map<String, Int> get() = arrivals.refused

    /** What is known of each person who is followed, by number. */
    val persons: Map<Int, PersonState> get() = known

    /** Forgets everything: a source starts anew, its clock may start anew too. */
    fun reset() {
        arrivals = Arrivals()
        tracks = Tracks(maxPersons, manifest.joints)
        slots = Slots(manifest.window.persons, manifest.joints)
        known.clear()
        now = 0.0
    }

    /**
     * Takes a frame; what it brings to light, which mostly is nothing.
     *
     * @throws BadBundle the network's answer is none.
     */
    fun step(frame: Frame): List<Event> {
        val checked = checked(frame) ?: return emptyList()
        val events = ArrayList<Event>()
        for (arrived in arrivals.push(checked)) {
            val taken = arrived.frame
            if (arrived.jumped || taken.time - now > PATIENCE_S) { // nobody is known who was there before
                events += finish(if (arrived.jumped) now else taken.time)
                tracks = tracks.afresh(manifest.joints)
                slots = Slots(manifest.window.persons, manifest.joints)
                known.clear()
            }
            now = taken.time
            events += if (manifest.window.persons > 1) together(taken) else each(taken)
        }
        return events
    }

    /** The source has ended: the actions that were going on. */
    fun finish(): List<Event> = finish(now)

    private fun finish(time: Double) = known.values.flatMap { it.finish(time) }

    private fun each(frame: Frame): List<Event> {
        val events = ArrayList<Event>()
        for (number in tracks.gone(frame.time)) known.remove(number)?.let { events += it.finish(frame.time) }
        for ((number, index) in tracks.assign(frame)) {
            events += known.getOrPut(number) { person(number) }.push(frame.person(index, size), null)
        }
        return events
    }

    private fun together(frame: Frame): List<Event> {
        val (placed, fresh) = slots.assign(frame)
        return known.getOrPut(0) { person(0) }.push(placed, fresh)
    }

    private fun person(number: Int) = PersonState(number, manifest, recogniser(), config)

    /** The frame with the values that claim to be seen and are none taken out; null where it is no frame at all. */
    private fun checked(frame: Frame): Frame? {
        val wrong = when {
            frame.joints.size / (3 * size) > MOST_PERSONS -> "more than $MOST_PERSONS persons"
            frame.joints.size != 3 * frame.confidence.size -> "joints and confidence do not fit"
            frame.confidence.size % size != 0 -> "another number of joints"
            else -> null
        }
        if (wrong != null) {
            arrivals.refuse(wrong)
            return null
        }
        var joints = frame.joints
        var confidence = frame.confidence
        for (joint in frame.confidence.indices) {
            val trust = frame.confidence[joint]
            if (trust == 0f) continue
            val place = frame.joints.copyOfRange(3 * joint, 3 * joint + 3)
            val near = place.all { Math.abs(it) <= FARTHEST_M } // false for NaN
            if (near && trust >= 0f && trust <= 1f) continue
            val finite = place.none { it.isNaN() || it.isInfinite() }
            arrivals.refuse(if (!near && finite) "joint more than 1000 km away" else "joint that is not finite")
            if (confidence === frame.confidence) {
                joints = joints.copyOf()
                confidence = confidence.copyOf()
            }
            joints.fill(0f, 3 * joint, 3 * joint + 3)
            confidence[joint] = 0f
        }
        return Frame(frame.time, joints, confidence)
    }

    private companion object {
        const val MOST_PERSONS = 64 // in one frame, beyond which it is none
        const val FARTHEST_M = 1e6f
    }
}

/** What one person does; for a recogniser of several persons, what they do together. */
class PersonState internal constructor(
    val number: Int,
    manifest: Manifest,
    private val recogniser: LiveRecogniser,
    private val config: EventConfig
) {
    private val resampler = Resampler(manifest.window.rateHz, manifest.window.persons, manifest.joints.size)
    private val segmenter = Segmenter(manifest.joints, manifest.window.rateHz, config.segmenter, manifest.window.persons)
    private val labeller = ActionLabeller(manifest.labels, config)
    private var began: Double? = null // when the action began that goes on and was named

    /** Whether the person moves. */
    val moving: Boolean get() = segmenter.moving

    /** What the person does, once it was named; null before, and in rest. */
    val label: String? get() = labeller.label

    /** K, calibrated and smoothed over the answers to the action that goes on; null in rest. */
    val probabilities: FloatArray? get() = labeller.smooth

    /** D, of the latest answer: what new actions are learned from. */
    var embedding: FloatArray? = null
        private set

    internal fun push(frame: Frame, replaced: BooleanArray?): List<Event> {
        val events = ArrayList<Event>()
        for (settled in resampler.push(frame, replaced)) {
            val stretch = segmenter.push(settled)
            val answer = recogniser.push(settled, segmenter)
            if (stretch != null) end(stretch, frame.time)?.let { events += it }
            else if (!segmenter.moving) nothing(frame.time)?.let { events += it }
            else if (answer != null) goOn(answer, frame.time)?.let { events += it }
        }
        return events
    }

    /** The person has gone, or the source has ended. */
    internal fun finish(time: Double): List<Event> {
        val stretch = segmenter.finish()
        return listOfNotNull(if (stretch == null) nothing(time) else end(stretch, time))
    }

    private fun goOn(answer: Output, time: Double): Event? {
        embedding = answer.embedding
        val named = labeller.push(calibrated(answer.probabilities, config.temperature))
        val stretch = segmenter.openStretch()
        if (named == null || stretch == null) return null
        val kind = if (began == null) EventKind.BEGAN else EventKind.CHANGED
        began = stretch.start
        return Event(kind, number, named.label, named.confidence, stretch.start, null, time)
    }

    private fun end(stretch: Stretch, time: Double): Event? {
        val answer = recogniser.last(stretch)
        labeller.clear()
        began = null
        if (answer == null) return null
        embedding = answer.embedding
        val named = labeller.last(calibrated(answer.probabilities, config.temperature))
        return Event(EventKind.ENDED, number, named.label, named.confidence, stretch.start, stretch.end, time)
    }

    /** The motion was a twitch; what was said of it is taken back. */
    private fun nothing(time: Double): Event? {
        val start = began
        began = null
        labeller.clear()
        return if (start == null) null else Event(EventKind.ENDED, number, UNKNOWN, 0f, start, time, time)
    }
}
