package edgeskel

/** A frame to go on with, and whether the clock jumped before it. */
internal class Arrived(val frame: Frame, val jumped: Boolean)

/** Which of the frames that arrive are taken, by their time stamps: the twin of `edgeskel.runtime.arrivals.Arrivals`. */
internal class Arrivals {
    /** What was not taken, counted by the reason. */
    val refused = LinkedHashMap<String, Int>()
    private var last: Double? = null
    private var aside: Frame? = null
    private var step = 0.0 // between the two latest frames that were put aside

    fun refuse(reason: String, count: Int = 1) {
        refused[reason] = (refused[reason] ?: 0) + count
    }

    fun push(frame: Frame): List<Arrived> {
        if (frame.time.isNaN() || frame.time.isInfinite()) {
            refuse("time is not a number")
            return emptyList()
        }
        if (Math.abs(frame.time) > LATEST_S) {
            refuse("time looks like ${unitOf(frame.time)}, not seconds")
            return emptyList()
        }
        val before = last
        val other = aside
        if (before == null || follows(frame, before)) {
            if (other != null) refuse(FAR)
            take(frame)
            return listOf(Arrived(frame, false))
        }
        if (other != null && follows(frame, other.time)) {
            take(frame)
            return listOf(Arrived(other, true), Arrived(frame, false))
        }
        if (Math.abs(frame.time - before) <= GAP_S) {
            refuse("late or repeated")
            return emptyList()
        }
        if (other != null) {
            val earlier = step
            step = frame.time - other.time
            val steady = 0 < earlier / 3 && earlier / 3 < step && step < 3 * earlier
            refuse(if (steady) "$FAR (as of frames in ${unitOfStep(step)})" else FAR)
        }
        aside = frame
        return emptyList()
    }

    private fun take(frame: Frame) {
        last = frame.time
        aside = null
        step = 0.0
    }

    private fun follows(frame: Frame, time: Double) = time < frame.time && frame.time <= time + GAP_S

    private fun unitOf(time: Double): String = when {
        Math.abs(time) >= 1e17 -> "nanoseconds"
        Math.abs(time) < 1e14 -> "milliseconds since 1970, or nanoseconds"
        else -> "microseconds since 1970, or nanoseconds"
    }

    private fun unitOfStep(step: Double) = if (step < 2e3) "milliseconds" else if (step < 2e6) "microseconds" else "nanoseconds"

    private companion object {
        const val GAP_S = 5.0 // after which nothing before counts any more: longer than a window
        const val LATEST_S = 1e11 // some 3,000 years: what lies beyond counts something smaller than seconds
        const val FAR = "time far from the others"
    }
}
