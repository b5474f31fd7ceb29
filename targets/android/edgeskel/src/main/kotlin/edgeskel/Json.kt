package edgeskel

/** A number as it is written: a digest over a manifest needs the very digits. */
internal class JsonNumber(val text: String) {
    override fun toString() = text
}

/**
 * Reads JSON, and writes it as the manifest's digest is taken over: keys sorted, no spaces, ASCII only, numbers as read.
 *
 * Android's own reader turns numbers into doubles and so forgets how they were written. Objects are [Map], arrays [List],
 * numbers [JsonNumber], and null is null.
 */
internal object Json {
    private const val DEEPEST = 64
    private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?")

    /** @throws BadBundle the text is not JSON. */
    fun read(text: String): Any? {
        val reader = Reader(text)
        val value = reader.value(0)
        reader.end()
        return value
    }

    fun canonical(value: Any?): String {
        val out = StringBuilder()
        write(value, out)
        return out.toString()
    }

    private fun write(value: Any?, out: StringBuilder) {
        when (value) {
            null -> out.append("null")
            is String -> quote(value, out)
            is List<*> -> {
                out.append('[')
                for ((index, item) in value.withIndex()) {
                    if (index > 0) out.append(',')
                    write(item, out)
                }
                out.append(']')
            }
            is Map<*, *> -> {
                out.append('{')
                for ((index, key) in value.keys.map { it as String }.sortedWith(BY_CODE_POINT).withIndex()) {
                    if (index > 0) out.append(',')
                    quote(key, out)
                    out.append(':')
                    write(value[key], out)
                }
                out.append('}')
            }
            else -> out.append(value.toString()) // true, false, a number
        }
    }

    private fun quote(text: String, out: StringBuilder) {
        out.append('"')
        for (char in text) {
            when {
                char == '"' || char == '\\' -> out.append('\\').append(char)
                char == '\n' -> out.append("\\n")
                char == '\r' -> out.append("\\r")
                char == '\t' -> out.append("\\t")
                char == '\b' -> out.append("\\b")
                char == '\u000c' -> out.append("\\f")
                char < ' ' || char > '~' -> out.append(String.format("\\u%04x", char - '\u0000'))
                else -> out.append(char)
            }
        }
        out.append('"')
    }

    /** UTF-16 would put some rare signs elsewhere than their code points. */
    private val BY_CODE_POINT = Comparator<String> { a, b ->
        val left = a.codePoints().toArray()
        val right = b.codePoints().toArray()
        val differs = (0 until Math.min(left.size, right.size)).firstOrNull { left[it] != right[it] }
        if (differs == null) left.size.compareTo(right.size) else left[differs].compareTo(right[differs])
    }

    private class Reader(private val text: String) {
        private var at = 0

        fun value(depth: Int): Any? {
            if (depth > DEEPEST) fail("more than $DEEPEST levels")
            space()
            return when (peek()) {
                '{' -> table(depth)
                '[' -> list(depth)
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        fun end() {
            space()
            if (at < text.length) fail("more after the end")
        }

        private fun table(depth: Int): Map<String, Any?> {
            val found = LinkedHashMap<String, Any?>()
            at += 1
            space()
            if (skip('}')) return found
            while (true) {
                space()
                if (peek() != '"') fail("no name of a field")
                val key = string()
                if (key in found) fail("the field '$key' twice")
                space()
                if (!skip(':')) fail("no ':'")
                found[key] = value(depth + 1)
                space()
                if (skip('}')) return found
                if (!skip(',')) fail("no ',' or '}'")
            }
        }

        private fun list(depth: Int): List<Any?> {
            val found = ArrayList<Any?>()
            at += 1
            space()
            if (skip(']')) return found
            while (true) {
                found.add(value(depth + 1))
                space()
                if (skip(']')) return found
                if (!skip(',')) fail("no ',' or ']'")
            }
        }

        private fun string(): String {
            val out = StringBuilder()
            at += 1
            while (true) {
                val char = peek()
                at += 1
                when {
                    char == '"' -> return out.toString().also { if (lone(it)) fail("half a character") }
                    char == '\\' -> out.append(escape())
                    char < ' ' -> fail("a control character in a text")
                    else -> out.append(char)
                }
            }
        }

        private fun escape(): Char {
            val char = peek()
            at += 1
            return when (char) {
                '"', '\\', '/' -> char
                'n' -> '\n'
                'r' -> '\r'
                't' -> '\t'
                'b' -> '\b'
                'f' -> '\u000c'
                'u' -> {
                    val digits = text.substring(at, Math.min(at + 4, text.length))
                    if (!digits.matches(HEX)) fail("\\u$digits")
                    at += 4
                    '\u0000' + digits.toInt(16)
                }
                else -> fail("\\$char")
            }
        }

        private fun lone(text: String): Boolean {
            var index = 0
            while (index < text.length) {
                val point = text.codePointAt(index)
                if (point in 0xD800..0xDFFF) return true
                index += Character.charCount(point)
            }
            return false
        }

        private fun number(): JsonNumber {
            val match = NUMBER.find(text, at)
            if (match == null || match.range.first != at) fail("'${peek()}'")
            at = match.range.last + 1
            return JsonNumber(match.value)
        }

        private fun word(word: String, value: Any?): Any? {
            if (!text.startsWith(word, at)) fail("an unknown word")
            at += word.length
            return value
        }

        private fun space() {
            while (at < text.length && text[at] in " \t\r\n") at += 1
        }

        private fun skip(char: Char): Boolean {
            val there = at < text.length && text[at] == char
            if (there) at += 1
            return there
        }

        private fun peek(): Char {
            if (at >= text.length) fail("the end too early")
            return text[at]
        }

        private fun fail(seen: String): Nothing =
            throw BadBundle("manifest.json is not JSON: $seen at character $at; copy the bundle again or export anew")
    }

    private val HEX = Regex("[0-9a-fA-F]{4}")
}
