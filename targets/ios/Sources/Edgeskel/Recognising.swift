/// Something that the network said, or nil where nobody was there to be seen; `time` is the end of what it saw.
struct Answer {
    let time: Double
    let output: Output?
}

/// The two ways from frames on the window's clock to answers.
protocol Recognising {
    /// Nothing has been seen.
    mutating func reset()

    /// Another person stands in that place now.
    mutating func forget(_ person: Int)

    /// What the frames brought, in the order of time; mostly nothing.
    mutating func push(_ settled: [Frame]) throws -> [Answer]
}

/// Every `hop` frames, the last S of them. Until S have been seen, the graph stretches those that there are.
struct ByWindow: Recognising {
    private let manifest: Manifest
    private let network: Network
    private var ring: Ring
    private var waiting = 0 // frames since the last answer

    init(_ manifest: Manifest, _ network: Network) {
        self.manifest = manifest
        self.network = network
        ring = Self.fresh(manifest)
    }

    private static func fresh(_ manifest: Manifest) -> Ring {
        Ring(persons: manifest.window.persons, frames: manifest.window.frames, joints: manifest.joints.count)
    }

    mutating func reset() {
        ring = Self.fresh(manifest)
        waiting = 0
    }

    mutating func forget(_ person: Int) {
        ring.forget(person)
    }

    mutating func push(_ settled: [Frame]) throws -> [Answer] {
        var end: Double?
        for frame in settled {
            ring.push(frame)
            waiting += 1
            if waiting >= manifest.window.hop {
                waiting = 0
                end = settled.last?.time
            }
        }
        guard let end else { return [] }
        let input = ring.window()
        guard input.confidence.contains(where: { $0 > 0 }) else { return [Answer(time: end, output: nil)] }
        return [Answer(time: end, output: try network.run(input).checked(manifest))]
    }
}

extension Output {
    /// The answer itself, when it is one.
    func checked(_ manifest: Manifest) throws -> Output {
        guard probabilities.count == manifest.labels.count, probabilities.allSatisfy(\.isFinite), embedding.allSatisfy(\.isFinite) else {
            throw BadBundle("the network answered with \(probabilities.count) probabilities, or with NaN; expected "
                + "\(manifest.labels.count): run edgeskel verify on the bundle")
        }
        return self
    }
}
