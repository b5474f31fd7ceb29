package edgeskel

/** Seconds after which a lost person is forgotten. */
internal const val PATIENCE_S = 1.0

/** Where somebody was lately, oldest first; the first is a tenth of a second old once so much was seen. */
internal class Trail {
    private val times = ArrayList<Double>()
    private val places = ArrayList<DoubleArray>()

    val lastTime get() = times.last()
    val lastPlace: DoubleArray get() = places.last()
    val isEmpty get() = times.isEmpty()

    /** Whether the body here can be the one that left this trail. */
    fun reaches(time: Double, here: DoubleArray): Boolean {
        val reach = SLACK + SPEED * Math.max(LAG, time - times.last())
        var before = places[0]
        for (index in times.indices.reversed()) {
            if (times[index] <= time - LAG) {
                before = places[index]
                break
            }
        }
        return distance(here, before) <= reach
    }

    fun extend(time: Double, here: DoubleArray) {
        if (times.isNotEmpty() && time - times.last() > LAG) { // found again: how far it is was judged by the time that the loss took
            times.clear()
            places.clear()
        }
        if (times.size > 1 && times[times.size - 1] - times[times.size - 2] < MARK / 2) drop(times.size - 1)
        times.add(time)
        places.add(here)
        while (times.size > 1 && times[1] <= time - LAG) drop(0)
    }

    private fun drop(index: Int) {
        times.removeAt(index)
        places.removeAt(index)
    }

    private companion object {
        const val SPEED = 4.0 // m/s: nobody's pelvis moves faster
        const val SLACK = 0.3 // m: what a noisy depth camera may add
        const val LAG = 0.1 // s over which a body's path is judged, so that who is who does not depend on the source's rate
        const val MARK = 1 / 30.0 // s between the places that are kept of that time
    }
}

private fun distance(a: DoubleArray, b: DoubleArray): Double {
    val (x, y, z) = DoubleArray(3) { a[it] - b[it] }
    return Math.sqrt(x * x + y * y + z * z)
}

/** What [Tracks] and [Slots] share: bodies, where each stands, and who continues which trail. */
internal class Bodies(private val frame: Frame, private val joints: Int, private val hips: List<Int>) {
    /** Index in the frame -> place, of everybody who is seen. */
    val places: Map<Int, DoubleArray> = (0 until frame.confidence.size / joints).filter { frame.seen(it, joints) }
        .associateWith { place(it) }

    /** Of the hips that are seen, else of all joints that are: the middle. */
    private fun place(person: Int): DoubleArray {
        val trust = { joint: Int -> frame.confidence[person * joints + joint] > 0f }
        val seen = hips.filter(trust).ifEmpty { (0 until joints).filter(trust) }
        return DoubleArray(3) { axis -> seen.sumByDouble { frame.joints[(person * joints + it) * 3 + axis].toDouble() } / seen.size }
    }

    /** (index, who) of every body that continues a trail, the nearest first, each at most once. */
    fun nearest(trails: Map<Int, Trail>, time: Double): Map<Int, Int> {
        val pairs = places.flatMap { (index, here) -> trails.map { (who, trail) -> Triple(distance(here, trail.lastPlace), who, index) } }
            .sortedWith(compareBy({ it.first }, { it.second }, { it.third }))
        val found = LinkedHashMap<Int, Int>()
        val known = HashSet<Int>()
        for ((_, who, index) in pairs) {
            if (index !in found && who !in known && trails.getValue(who).reaches(time, places.getValue(index))) {
                found[index] = who
                known.add(who)
            }
        }
        return found
    }

    fun bestSeenFirst(left: Collection<Int>): List<Int> {
        fun trust(index: Int) = (index * joints until (index + 1) * joints).sumByDouble { frame.confidence[it].toDouble() }
        return left.sortedWith(compareBy({ -trust(it) }, { it }))
    }

    companion object {
        fun hips(joints: List<String>) = listOf("left_hip", "right_hip", "pelvis").map { joints.indexOf(it) }.filter { it >= 0 }
    }
}

/** Numbers for persons, who may come in any order: the twin of `edgeskel.runtime.tracking.Tracks`. */
internal class Tracks(private val maxPersons: Int, joints: List<String>, private var next: Int = 0) {
    private val trails = LinkedHashMap<Int, Trail>()
    private val size = joints.size
    private val hips = Bodies.hips(joints)

    /** The same, with nobody known; numbers that were given are not given again. */
    fun afresh(joints: List<String>) = Tracks(maxPersons, joints, next)

    /** Number -> index in the frame, of everybody who is seen in it and tracked; the lowest number first. */
    fun assign(frame: Frame): Map<Int, Int> {
        val bodies = Bodies(frame, size, hips)
        val found = java.util.TreeMap<Int, Int>()
        val pairs = bodies.nearest(trails, frame.time)
        for ((index, who) in pairs) found[who] = index
        for (index in bodies.bestSeenFirst(bodies.places.keys - pairs.keys)) {
            if (trails.size < maxPersons) {
                found[next] = index
                trails[next] = Trail()
                next += 1
            }
        }
        for ((who, index) in found) trails.getValue(who).extend(frame.time, bodies.places.getValue(index))
        return found
    }

    /** Forgets whoever was not seen for longer than a second before now; their numbers. */
    fun gone(now: Double): List<Int> {
        val numbers = trails.filter { now - it.value.lastTime > PATIENCE_S }.keys.toList()
        trails.keys.removeAll(numbers)
        return numbers
    }
}

/** Persons in M slots, for a recogniser of several: the twin of `edgeskel.runtime.tracking.Slots`. */
internal class Slots(private val slots: Int, joints: List<String>) {
    private val trails = java.util.TreeMap<Int, Trail>()
    private val size = joints.size
    private val hips = Bodies.hips(joints)

    /** A frame of M persons, confidence 0 in empty slots, and where somebody new stands. */
    fun assign(frame: Frame): Pair<Frame, BooleanArray> {
        val bodies = Bodies(frame, size, hips)
        val joints = FloatArray(slots * size * 3)
        val confidence = FloatArray(slots * size)
        val fresh = BooleanArray(slots)
        trails.values.removeAll { frame.time - it.lastTime > PATIENCE_S }
        val pairs = LinkedHashMap(bodies.nearest(trails, frame.time))
        val waiting = bodies.bestSeenFirst(bodies.places.keys - pairs.keys)
        for ((index, slot) in waiting.zip((0 until slots).filter { it !in trails })) {
            pairs[index] = slot
            fresh[slot] = true
            trails[slot] = Trail()
        }
        for ((index, slot) in pairs) {
            System.arraycopy(frame.joints, index * size * 3, joints, slot * size * 3, size * 3)
            System.arraycopy(frame.confidence, index * size, confidence, slot * size, size)
            trails.getValue(slot).extend(frame.time, bodies.places.getValue(index))
        }
        return Pair(Frame(frame.time, joints, confidence), fresh)
    }
}
