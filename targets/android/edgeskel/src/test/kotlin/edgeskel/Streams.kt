package edgeskel

import java.io.File
import java.util.Base64
import org.json.JSONArray
import org.json.JSONObject

/**
 * Plays the live streams of `tests/targets/live_streams.json`: for each one line of JSON with its events, what the network was given
 * and what was left out. `tests/targets/live_streams.py` compares.
 */
internal object Streams {
    fun play(stream: JSONObject, recording: JSONObject): JSONObject {
        val manifest = Manifest.read(stream.getString("manifest").toByteArray(Charsets.UTF_8), stream.getString("seal"))
        val replayed = Replayed(stream.getJSONArray("answers").items().map { (it as JSONArray).toFloats() })
        val session = if (stream.getString("mode") == "streaming") Session(manifest, replayed as StepNetwork)
        else Session(manifest, replayed as Network)
        val events = frames(recording).flatMap { session.step(it) } + session.finish()
        val told = JSONObject()
        told.put("name", stream.getString("name"))
        told.put("events", JSONArray(events.map { told(it) }))
        told.put("inputs", JSONArray(replayed.inputs.map { JSONArray(it) }))
        told.put("refused", JSONObject(session.refused))
        return told
    }

    private fun told(event: Event): JSONObject {
        val told = JSONObject()
        told.put("kind", event.kind.name.toLowerCase())
        told.put("person", event.person)
        told.put("label", event.label)
        told.put("confidence", event.confidence.toDouble())
        told.put("start", event.start)
        told.put("end", event.end ?: JSONObject.NULL)
        told.put("time", event.time)
        return told
    }

    private fun frames(recording: JSONObject): List<Frame> {
        val places = Base64.getDecoder().decode(recording.getString("joints"))
        val trust = Base64.getDecoder().decode(recording.getString("confidence"))
        val persons = recording.getJSONArray("persons")
        val patches = recording.getJSONArray("patches").items().map { it as JSONObject }
        val cut = recording.getJSONArray("cut").items().map { (it as Number).toInt() }
        val size = recording.getJSONArray("layout").length()
        var at = 0
        return recording.getJSONArray("times").items().mapIndexed { index, time ->
            val count = persons.getInt(index) * size
            val first = at
            at += count
            val joints = FloatArray(3 * count) {
                val low = places[2 * (3 * first + it)].toInt() and 0xff
                (places[2 * (3 * first + it) + 1].toInt() shl 8 or low) / 1000f
            }
            val confidence = FloatArray(count) { (trust[first + it].toInt() and 0xff) / 100f }
            for (patch in patches.filter { it.getInt("frame") == index }) {
                val values = if (patch.getString("what") == "joints") joints else confidence
                values[patch.getInt("index")] = number(patch.getString("value"))
            }
            val kept = (0 until count).filter { index !in cut || it % size != size - 1 }
            Frame((time as Number).toDouble(), FloatArray(3 * kept.size) { joints[3 * kept[it / 3] + it % 3] },
                FloatArray(kept.size) { confidence[kept[it]] })
        }
    }

    private fun number(text: String) = when (text) {
        "nan" -> Float.NaN
        "inf" -> Float.POSITIVE_INFINITY
        else -> text.toFloat()
    }

    private fun JSONArray.toFloats() = FloatArray(length()) { getDouble(it).toFloat() }

    /** Gives the next answer at each call, and keeps sums of what it was given, as `live_streams.Replayed`. */
    private class Replayed(private val answers: List<FloatArray>) : Network, StepNetwork {
        val inputs = ArrayList<List<Double>>()

        override fun run(input: Input) = answer(input, emptyList())

        override fun step(input: Input, state: List<FloatArray>): StepOutput {
            val seen = input.confidence.sumByDouble { it.toDouble() }.toFloat()
            val after = floatArrayOf(state[0][0] + 1, 0.5f * state[0][1] + seen)
            return StepOutput(answer(input, after.map { it.toDouble() }), listOf(after))
        }

        private fun answer(input: Input, more: List<Double>): Output {
            val places = DoubleArray(input.joints.size) { if (input.confidence[it / 3] > 0f) input.joints[it].toDouble() else 0.0 }
            val trust = DoubleArray(input.confidence.size) { input.confidence[it].toDouble() }
            inputs.add(listOf(places.sum(), weighted(places), trust.sum(), weighted(trust)) + more)
            val index = inputs.size - 1
            return Output(answers[index % answers.size], floatArrayOf(index.toFloat()))
        }

        private fun weighted(values: DoubleArray) = values.withIndex().sumByDouble { (index, value) -> value * (1 + index % 97) }
    }
}

object StreamsMain {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val all = JSONObject(File(arguments[0]).readText(Charsets.UTF_8))
        val recordings = all.getJSONArray("recordings")
        val out = java.io.PrintStream(java.io.FileOutputStream(java.io.FileDescriptor.out), false, "UTF-8")
        for (stream in all.getJSONArray("streams").items().map { it as JSONObject }) {
            out.println(Streams.play(stream, recordings.getJSONObject(stream.getInt("recording"))))
        }
        out.flush()
    }
}
