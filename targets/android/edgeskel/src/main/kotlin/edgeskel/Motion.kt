package edgeskel

/**
 * Speed of the fastest joints, in torso lengths per second, the largest over the persons: the twin of
 * `edgeskel.runtime.motion.MotionEnergy`.
 *
 * Axes: M persons, V joints.
 */
internal class MotionEnergy(joints: List<String>, rateHz: Double, private val persons: Int) {
    private val size = joints.size
    private val lag = Math.max(1, Math.rint(LAG_S * rateHz).toInt())
    private val mean = Math.max(1, lag - 1)
    private val perSecond = (rateHz / lag).toFloat()
    private val fastest = Math.max(1, Math.rint(0.15 * size).toInt())
    private val frames = ArrayList<Frame>()
    private val top = listOf("left_shoulder", "right_shoulder").map { joints.indexOf(it) }.filter { it >= 0 }
    private val bottom = listOf("left_hip", "right_hip").map { joints.indexOf(it) }.filter { it >= 0 }
    private val torso = FloatArray(persons) { 0.5f } // metres, slowly followed

    /** Seconds by which the energy lags behind the frame. */
    val delayS = (lag + mean - 1) / 2.0 / rateHz

    /** Energy as of [delayS] before this frame; 0 while too little was seen. */
    fun push(frame: Frame): Double {
        if (frames.isNotEmpty() && frame.time - frames.last().time > LAG_S) frames.clear() // nothing is known of the time between
        frames.add(frame)
        if (frames.size > lag + mean) frames.removeAt(0)
        for (person in 0 until persons) measure(frame, person)
        if (frames.size < lag + mean) return 0.0
        return (0 until persons).map { ofPerson(it) / torso[it] }.reduce { a, b -> Math.max(a, b) }.toDouble()
    }

    private fun ofPerson(person: Int): Float {
        val speeds = FloatArray(size) { speed(person * size + it) }
        speeds.sort()
        var sum = 0f
        for (index in size - fastest until size) sum += speeds[index]
        return sum / fastest
    }

    private fun speed(joint: Int): Float {
        val before = sums(joint, 0)
        val after = sums(joint, lag)
        if (before[3] == 0f || after[3] == 0f) return 0f
        var square = 0f
        for (axis in 0..2) {
            val moved = after[axis] / after[3] - before[axis] / before[3]
            square += moved * moved
        }
        return Math.sqrt(square.toDouble()).toFloat() * perSecond
    }

    /** Of the frames from [first] on: the sum of the joint's positions where it is seen, and in how many it is. */
    private fun sums(joint: Int, first: Int): FloatArray {
        val sum = FloatArray(4)
        for (index in first until first + mean) {
            val frame = frames[index]
            if (frame.confidence[joint] <= 0f) continue
            for (axis in 0..2) sum[axis] += frame.joints[3 * joint + axis]
            sum[3] += 1f
        }
        return sum
    }

    private fun measure(frame: Frame, person: Int) {
        if (top.isEmpty() || bottom.isEmpty() || (top + bottom).any { frame.confidence[person * size + it] <= 0f }) return
        var square = 0.0
        for (axis in 0..2) {
            var across = 0f
            for (joint in top) across += 1f / top.size * frame.joints[(person * size + joint) * 3 + axis]
            for (joint in bottom) across += -1f / bottom.size * frame.joints[(person * size + joint) * 3 + axis]
            square += across.toDouble() * across
        }
        val length = Math.min(Math.max(Math.sqrt(square), 0.2), 1.0).toFloat()
        torso[person] += 0.1f * (length - torso[person])
    }

    private companion object {
        const val LAG_S = 0.2 // between the two positions that are compared
    }
}
