import XCTest

/// The same vectors under Xcode and `swift test`.
final class GoldenTests: XCTestCase {
    func testGoldenVectors() throws {
        let url = try XCTUnwrap(Bundle.module.url(forResource: "golden", withExtension: "json"))
        XCTAssertGreaterThan(try Vectors.run(Data(contentsOf: url)), 0)
    }
}
