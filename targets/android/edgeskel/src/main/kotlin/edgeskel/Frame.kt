package edgeskel

/**
 * The joints of all persons at one instant.
 *
 * Axes: M persons, V joints; arrays are flat, the last axis fastest. Persons keep their places from frame to frame.
 *
 * @param time seconds on the source's clock.
 * @param joints M * V * 3 metres, right-handed, y up; a missing joint may hold anything.
 * @param confidence M * V, 0 is missing and 1 is certain.
 */
class Frame(val time: Double, val joints: FloatArray, val confidence: FloatArray) {
    /**
     * Refuses what breaks the contract.
     *
     * @throws BadInput another number of joints, a confidence outside 0..1, a seen joint that is not finite.
     */
    internal fun check(persons: Int, joints: Int) {
        val size = persons * joints
        if (confidence.size != size || this.joints.size != 3 * size) {
            throw BadInput("a frame of ${this.joints.size} coordinates and ${confidence.size} confidences; expected " +
                "${3 * size} and $size: $persons persons of $joints joints")
        }
        for (joint in 0 until size) {
            val trust = confidence[joint]
            if (!(trust >= 0f && trust <= 1f)) { // also true for NaN
                throw BadInput("a confidence of $trust at joint $joint; expected 0 to 1")
            }
            for (axis in 0..2) {
                val value = this.joints[3 * joint + axis]
                if (trust > 0f && (value.isNaN() || value.isInfinite())) {
                    throw BadInput("joint $joint is $value with confidence $trust; set the confidence of a missing joint to 0")
                }
            }
        }
    }
}

/** The app fed something that breaks the contract; the message says what. */
class BadInput(message: String) : IllegalArgumentException(message)

/** The manifest or a file of the bundle is not what it should be; the message says what to do. */
class BadBundle(message: String) : RuntimeException(message)
