package edgeskel

import org.json.JSONArray
import org.json.JSONObject

/** From [least] to [most], both included; [whole] numbers only, where it says so. */
internal class Range(val least: Double, val most: Double, val whole: Boolean) {
    operator fun contains(value: Double) = value >= least && value <= most && !(whole && value != Math.floor(value))

    override fun toString(): String {
        val kind = (if (least > 0) "positive " else "") + (if (whole) "whole " else "")
        return "a ${kind}number from ${short(least)} to ${short(most)}"
    }

    private fun short(value: Double) = if (value == Math.floor(value) && Math.abs(value) < 1e15) value.toLong().toString() else value.toString()
}

/**
 * What the numbers of a manifest may be, as `edgeskel.runtime.ranges` has it: a number outside its range is a damaged or a made-up
 * manifest, which would fail far from here, or never end.
 */
internal object Ranges {
    private val ELSEWHERE = Range(-1e30, 1e30, whole = false)
    private const val FREE = "artifacts[].measured[]" // what was not measured is null there
    private const val VALUES = 10_000_000.0 // of one window, or of the state of one person: 40 MB

    /** @throws BadBundle a number is outside its range; the message names its place. */
    fun checkNumbers(manifest: JSONObject) = visit(manifest, "")

    /** @throws BadBundle windows or states that no device of this kind holds, though each number for itself would do. */
    fun checkSize(window: Window, joints: Int, states: List<IntArray>) {
        var ofState = 0.0
        for (shape in states) ofState += shape.fold(1.0) { product, size -> product * size }
        for ((what, size) in mapOf("one window" to 3.0 * window.persons * window.frames * joints, "the state of one person" to ofState)) {
            if (size > VALUES) throw BadBundle("manifest.json: $what has ${size.toLong()} values; expected at most ${VALUES.toLong()}: export anew")
        }
    }

    private fun visit(value: Any?, place: String) {
        when (value) {
            is JSONObject -> for (name in value.keys().asSequence().map { it as String }) {
                visit(value.opt(name), if (place == "") name else "$place.$name")
            }
            is JSONArray -> for (item in value.items()) visit(item, "$place[]")
            else -> {
                val known = RANGE_TABLE[place]
                if (known == null && value !is Number) return
                if (value == JSONObject.NULL && place.startsWith(FREE)) return
                val number = (value as? Number)?.toDouble()
                if (number == null || number !in (known ?: ELSEWHERE)) {
                    throw BadBundle("manifest.json: malformed: $place is ${"$value".take(40)}; expected ${known ?: "a finite number"}: " +
                        "copy the bundle again or export anew")
                }
            }
        }
    }
}
