package edgeskel

/** One window of the network: M * S * V * 3 metres and M * S * V confidences, flat, oldest frame first. */
class Input(val joints: FloatArray, val confidence: FloatArray)

/**
 * The last S frames: the twin of `edgeskel.runtime.timeline.Ring`.
 *
 * Axes: M persons, S frames, V joints.
 */
internal class Ring(private val persons: Int, private val frames: Int, private val joints: Int) {
    private val positions = FloatArray(persons * frames * joints * 3)
    private val confidence = FloatArray(persons * frames * joints)
    private var seen = 0L

    /** Adds the newest frame; the oldest one leaves. */
    fun push(frame: Frame) {
        val place = (seen % frames).toInt()
        for (person in 0 until persons) {
            val at = (person * frames + place) * joints
            System.arraycopy(frame.joints, person * joints * 3, positions, at * 3, joints * 3)
            System.arraycopy(frame.confidence, person * joints, confidence, at, joints)
        }
        seen += 1
    }

    /** Another person stands there now: what the former did is missing. */
    fun forget(person: Int) {
        val size = frames * joints
        positions.fill(0f, person * size * 3, (person + 1) * size * 3)
        confidence.fill(0f, person * size, (person + 1) * size)
    }

    /** The last S frames, oldest first; those not seen yet follow with confidence 0. A copy. */
    fun window(): Input {
        val first = if (seen >= frames) (seen % frames).toInt() else 0
        val outPositions = FloatArray(positions.size)
        val outConfidence = FloatArray(confidence.size)
        for (person in 0 until persons) {
            for (frame in 0 until frames) {
                val from = (person * frames + (first + frame) % frames) * joints
                val to = (person * frames + frame) * joints
                System.arraycopy(positions, from * 3, outPositions, to * 3, joints * 3)
                System.arraycopy(confidence, from, outConfidence, to, joints)
            }
        }
        return Input(outPositions, outConfidence)
    }
}
