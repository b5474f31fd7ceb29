package edgeskel

/**
 * Frames with time stamps onto a regular clock: the twin of `edgeskel.runtime.timeline.Resampler`.
 *
 * Each frame settles the instants of the grid up to its time: interpolated between it and the frame before, or missing
 * when the pause between the two was longer than the source's habit.
 *
 * @param rateHz of the grid, which starts at the first frame's time.
 */
internal class Resampler(rateHz: Double, private val persons: Int, private val joints: Int) {
    private val period = 1 / rateHz
    private var start = 0.0
    private var count = 0L // grid instants given so far
    private var before: Frame? = null
    private val pauses = ArrayList<Double>()

    /**
     * @param frame later than the one before.
     * @param replaced true where another person than before stands in that place: the two are not interpolated.
     * @return the grid's frames up to and including the frame's time.
     */
    fun push(frame: Frame, replaced: BooleanArray? = null): List<Frame> {
        val earlier = before ?: frame
        if (before == null) {
            start = frame.time
        }
        before = frame
        val pause = frame.time - earlier.time
        if (pause > 0) {
            pauses.add(pause)
            if (pauses.size > REMEMBERED) {
                pauses.removeAt(0)
            }
        }
        val usual = if (pauses.isEmpty()) period else median(pauses)
        val gap = pause > Math.max(HABIT * period, Math.min(HABIT * usual, LONGEST))
        val settled = ArrayList<Frame>()
        while (true) {
            val time = start + count * period
            if (time > frame.time + ROUNDING * period) {
                return settled
            }
            count += 1
            val share = if (pause <= 0) 1.0 else Math.min(Math.max((time - earlier.time) / pause, 0.0), 1.0)
            if (gap) {
                val nearBefore = time - earlier.time <= period / 2
                val nearAfter = frame.time - time <= period / 2
                settled.add(mix(time, earlier, frame, if (nearBefore) 1f else 0f, if (nearAfter && !nearBefore) 1f else 0f, replaced))
            } else {
                settled.add(mix(time, earlier, frame, (1 - share).toFloat(), share.toFloat(), replaced))
            }
        }
    }

    /** A frame between two: a missing joint's value is never mixed in, and its absence lowers the confidence. */
    private fun mix(time: Double, a: Frame, b: Frame, shareA: Float, shareB: Float, replaced: BooleanArray?): Frame {
        val mixed = FloatArray(persons * joints * 3)
        val confidence = FloatArray(persons * joints)
        for (joint in confidence.indices) {
            val gone = replaced != null && replaced[joint / joints]
            val weightA = if (gone) 0f else shareA * a.confidence[joint]
            val weightB = shareB * b.confidence[joint]
            val total = weightA + weightB
            val scale = 1 / Math.max(total, LEAST)
            for (axis in 3 * joint..3 * joint + 2) {
                val partA = if (weightA > 0f) a.joints[axis] * (weightA * scale) else 0f
                val partB = if (weightB > 0f) b.joints[axis] * (weightB * scale) else 0f
                mixed[axis] = partA + partB
            }
            confidence[joint] = Math.min(total, 1f)
        }
        return Frame(time, mixed, confidence)
    }

    private fun median(values: List<Double>): Double {
        val sorted = values.sorted()
        val middle = sorted.size / 2
        return if (sorted.size % 2 == 1) sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2
    }

    private companion object {
        const val LONGEST = 0.5 // seconds: a longer pause is a gap however slow the source is
        const val HABIT = 2.5 // usual periods: one lost frame is interpolated, two are not
        const val ROUNDING = 1e-4 // of a period, by which a time stamp may fall short of the grid
        const val REMEMBERED = 15
        const val LEAST = 1e-9f
    }
}
